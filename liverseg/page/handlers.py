"""What the page does at each event: from a visitor to the values of their widgets.

A handler gets the visitor and the values of the event's inputs. It returns or yields values by the
name of their widget (see `app.Page`), as plain data; `events` makes of them what Gradio wants.
Nothing of a visitor is kept here: every handler asks the service for the visitor's study. What it
says of a study is `Bound` to what it depends on, so that nothing is shown of what was replaced.
"""

import errno
import json
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import ChoiceNeeded, Replaced, UploadError
from ..reading.choice import Choice
from ..sentences import Sentence, say
from ..volume import describe, notices
from .downloads import KINDS, offered, offers
from .figures import slice_curves, surfaces
from .jobs import Values
from .number_table import number_table
from .service import Service, basis_of_result
from .synthetic_case import SyntheticCase
from .uploads import Upload, refused, said
from .viewer.packing import pack_masks, pack_preview, pack_result, pack_scan_steps
from .visitors import Basis, OpenedStudy, SegmentedStudy, Study, id_of

PREVIEW_PAUSE_S = 0.3  # nobody sees masks that change more often
API_PAUSE_S = 1.0

F = TypeVar("F", bound=Callable)


@dataclass(frozen=True)
class Properties:
    """Changes how a widget is, and not what it shows.

    Attributes:
        settings: of the widget's constructor.
    """

    settings: dict[str, Any]

    @classmethod
    def of(cls, **settings: Any) -> "Properties":
        """From keyword arguments."""
        return cls(settings)


@dataclass(frozen=True)
class Bound:
    """What a widget shows as long as its basis holds.

    Attributes:
        value: as without it.
        basis: what it depends on.
    """

    value: Any
    basis: Basis


def bound(study: Study, *parts: str, **values: Any) -> Values:
    """Values of widgets that depend on parts of a study."""
    basis = Basis(study, *parts)
    return {name: Bound(value, basis) for name, value in values.items()}


RESULT = (
    "scan",
    "prediction",
    "truth",
    "counts_false",
    "findings",
)  # what numbers and masks depend on


def job(kind: str) -> Callable[[F], F]:
    """Marks a handler whose work goes on whoever watches, one of its kind for each visitor."""

    def mark(handler: F) -> F:
        handler.job = kind  # type: ignore[attr-defined]
        return handler

    return mark


class Handlers:
    """What happens at each event; the service does the work."""

    def __init__(self, service: Service):
        self.service = service

    # Coming and going

    def arrive(self, visitor: str, event: Any) -> Iterator[Values]:
        """Shows a tab that was loaded, or found its connection again, what is open in it."""
        study = self.service.visitors.of(visitor)
        if isinstance(study, OpenedStudy):
            is_segmented = isinstance(study, SegmentedStudy)
            yield {**self._all(study), "panel": Properties.of(open=not is_segmented)}
        elif study is not None and study.choice is not None:
            yield {"scan": said(study.choice.sentence), **_asked(study)}
        elif getattr(event, "had", False):
            yield {"scan": refused(say("study.gone")), **self._rest(study)}
        for one in self.service.jobs.of(visitor):
            yield from one.follow()

    # Reading

    @job("reading")
    def open_scan(self, visitor: str, upload: Any) -> Iterator[Values]:
        """Shows an uploaded scan, asks what it is, or says what is wrong."""
        yield from self._read(
            visitor, lambda: self.service.open_scan(visitor, self._taken(visitor, upload))
        )

    @job("answering")
    def answer(self, visitor: str, chosen: Any) -> Iterator[Values]:
        """Goes on with an upload about which something was asked."""
        study = self.service.visitors.of(visitor)
        go_on = self._read if study is not None and study.chooses_scan else self._laid
        yield from go_on(visitor, lambda: self.service.answer(visitor, str(chosen)))

    def _read(self, visitor: str, read: Callable[[], OpenedStudy]) -> Iterator[Values]:
        try:
            study = read()
        except ChoiceNeeded as error:
            yield {**self._rest_of(visitor), "scan": said(str(error)), **self._asked_of(visitor)}
            return
        except Replaced:
            raise
        except UploadError as error:
            words = refused(str(error))
            yield {**self._rest_of(visitor), "scan": words, **self._asked_of(visitor)}
            yield from self._waiting_truth(visitor)
            return
        except Exception as error:
            refusal = refused(full_disk(error) or say("page.not_read"))
            yield {**self._rest_of(visitor), "scan": refusal}
            yield from self._waiting_truth(visitor)
            raise
        yield from self._opened(visitor, study)
        yield from self._waiting_truth(visitor)

    @job("reading")
    def open_synthetic(self, visitor: str, seed: Any) -> Iterator[Values]:
        """Shows the synthetic case of this number; of an empty field, the first."""
        study = yield from self._open_case(visitor, SyntheticCase(int(seed or 0)))
        # a job of its own, which ends with its scan
        steps = self._run(visitor, study)
        yield from self.service.jobs.start(visitor, "segmenting", steps, nullcontext()).follow()

    @job("reading")
    def open_case(self, visitor: str, event: Any) -> Iterator[Values]:
        """Shows the synthetic case that a lesson asks for: its number, size and contrast."""
        case = SyntheticCase(int(event.number), event.size, event.contrast)
        yield from self._open_case(visitor, case)

    def _open_case(self, visitor: str, case: SyntheticCase) -> Generator[Values, None, OpenedStudy]:
        yield {"panel": Properties.of(open=False), "status": {"stage": say("stage.making_case")}}
        try:
            study = self.service.open_synthetic(visitor, case)
            yield from self._opened(visitor, study)
        except Replaced:
            raise
        except Exception:
            yield self._rest_of(visitor)
            yield from self._waiting_truth(visitor)
            raise
        return study

    @job("truth")
    def open_truth(self, visitor: str, upload: Any) -> Iterator[Values]:
        """Lays an uploaded ground truth on the scan; scores the result that is there."""
        yield from self._laid(
            visitor, lambda: self.service.open_truth(visitor, self._taken(visitor, upload))
        )

    def _waiting_truth(self, visitor: str) -> Iterator[Values]:
        """Lays the ground truth that waited for its scan on it, if one did."""
        study = self.service.visitors.of(visitor)
        if not isinstance(study, OpenedStudy) or study.chooses_truth:
            return
        if study.waiting_truth:
            yield from self._laid(visitor, lambda: self.service.open_waiting_truth(visitor))

    def _laid(self, visitor: str, read: Callable[[], Study]) -> Iterator[Values]:
        try:
            study = read()
        except ChoiceNeeded as error:
            yield {"truth": said(str(error)), **self._asked_of(visitor)}
            return
        except Replaced:
            raise
        except UploadError as error:
            yield {"truth": refused(str(error)), **self._asked_of(visitor)}
            return
        except Exception as error:
            yield {"truth": refused(full_disk(error) or say("page.not_read"))}
            raise
        if not isinstance(study, OpenedStudy) or study.waiting_truth:
            yield {"truth": said(say("page.truth_waits"))}
            return
        with self.service.about(visitor, Basis(study, "scan")):
            yield {**_truth_words(study), **_asked(study)}
            yield self._results(study)
            if isinstance(study, SegmentedStudy):
                yield from self._scored(visitor, study)

    def _asked_of(self, visitor: str) -> Values:
        return _asked(self.service.visitors.of(visitor))

    def _taken(self, visitor: str, upload: Any) -> Upload:
        """The files of an upload box, or of a program."""
        handles, names = (upload or {}).get("handles", []), (upload or {}).get("names")
        names = list(map(str, names)) if names else None
        return self.service.uploads.take(handles, names, id_of(visitor))

    def _opened(self, visitor: str, study: OpenedStudy) -> Iterator[Values]:
        """The page with a scan that was just read: its middle slice first."""
        with self.service.about(visitor, Basis(study, "scan")):
            packed = pack_scan_steps(study.volume, study.served, study.case)
            first = next(packed)
            yield {**self._all(study), **bound(study, *RESULT, viewer=first)}
            *_, shown = first, *packed  # all of it, which `_all` shows
            yield self._all(self.service.show(visitor, study.volume, shown))

    @job("truth")
    def count_false(self, visitor: str, counts_false: Any) -> Iterator[Values]:
        """Says whether a truth without tumors means that there are none."""
        study = self.service.count_false(visitor, bool(counts_false))
        yield self._results(study)
        if isinstance(study, SegmentedStudy):
            yield from self._scored(visitor, study)

    # Taking away

    def clear_scan(self, visitor: str) -> Values:
        """An empty page."""
        study = self.service.clear_scan(visitor)
        return {
            **self._rest(study),
            **bound(
                study,
                "scan",
                scan=said(""),
                truth=said(""),
                choice=asking(None),
                no_tumors=Properties.of(visible=False, value=False),
                viewer=None,
                notices=[],
                numbers=[],
                files=_downloads(study),
                curves=None,
                surfaces=None,
                **_clearable(study),
            ),
        }

    @job("truth")
    def clear_truth(self, visitor: str) -> Iterator[Values]:
        """The page without a ground truth."""
        study = self.service.clear_truth(visitor)
        yield {"truth": said(""), **_asked(study)}
        if isinstance(study, OpenedStudy):
            yield {**self._results(study), **self._surfaces_wanted(study)}
        if isinstance(study, SegmentedStudy):
            yield from self._scored(visitor, study)  # measuring may have been under way

    # Segmenting

    @job("segmenting")
    def run(self, visitor: str) -> Iterator[Values]:
        """Runs the networks; masks appear as they are found, from the middle outwards."""
        yield from self._run(visitor)

    def _run(self, visitor: str, study: OpenedStudy | None = None) -> Iterator[Values]:
        """The page while the networks run and the result is measured.

        Args:
            visitor: whose.
            study: with the scan; the one that is open by default.
        """
        request = self.service.ask_run(visitor, study)
        study = self.service.opened_study(visitor)
        with self.service.about(visitor, Basis(study, "scan")):
            yield {"panel": Properties.of(open=False), **self._rest(study)}
            try:
                yield from self._segmented(visitor, request)
            except Replaced:
                raise
            except Exception:
                self.service.visitors.withdraw(visitor, "asked_run", request)
                yield from self._shown(visitor)
                raise
            yield from self._shown(visitor)
            yield from self._scored(visitor, study)

    def _segmented(self, visitor: str, request: Basis) -> Iterator[Values]:
        def now(**values: Any) -> Values:
            return {name: Bound(value, request) for name, value in values.items()}

        with self.service.turn(self.service.segmenting, visitor) as turn:
            for place, count in turn.places():
                yield now(status={"stage": say("label.place", place=place, count=count)})
            value = None
            for step in self.service.segment(visitor, PREVIEW_PAUSE_S, request):
                if step.result is None:
                    with self.service.about(visitor, request):
                        study = self.service.opened_study(visitor)
                        value = value or study.shown
                        value = value and pack_preview(value, step, folder=study.served)
                    done = {"stage": step.stage, "done": step.done, "total": step.total}
                    yield now(**({"viewer": value} if value else {}), status=done)

    def _scored(self, visitor: str, begun: Study) -> Iterator[Values]:
        """The page with more and more numbers about the result of a study."""
        with self.service.about(visitor, Basis(begun, "scan")):
            for add in (self.service.score, self.service.score_surfaces):
                yield self._results(study := add(visitor))
            yield self._surfaces_wanted(study)

    def cancel(self, visitor: str) -> Iterator[Values]:
        """Stops the work; what was there before is there again."""
        for request, kind in (("asked_scan", "reading"), ("asked_run", "segmenting")):
            if self.service.visitors.withdraw(visitor, request):
                self.service.jobs.stop(visitor, kind)
        study = self.service.visitors.of(visitor)
        yield self._all(study) if isinstance(study, OpenedStudy) else self._rest(study)
        yield from self._waiting_truth(visitor)

    def _shown(self, visitor: str) -> Iterator[Values]:
        """The page after a run, whatever came of it."""
        study = self.service.opened_study(visitor)
        yield {**self._rest(study), **self._results(study)}

    def _rest_of(self, visitor: str) -> Values:
        return self._rest(self.service.visitors.of(visitor))

    def _rest(self, study: Study | None) -> Values:
        """The buttons while nothing runs, or while something does."""
        runs = study is not None and study.asked_run is not None
        values = {
            "segment": Properties.of(interactive=isinstance(study, OpenedStudy) and not runs),
            "cancel": Properties.of(visible=True if runs else "hidden"),
            **({} if runs else {"status": None}),
        }
        basis = Basis(study, "scan", "asked_run")
        return {name: Bound(value, basis) for name, value in values.items()}

    # What a result offers

    def draw_surfaces(self, visitor: str) -> Iterator[Values]:
        """The figure in 3-D; where it fails, it is asked for when somebody looks again."""
        study = self.service.segmented_study(visitor)
        spacing = study.volume.voxel_mm
        assert spacing is not None  # else the figure is not "wanted"
        try:
            with self.service.called(self.service.measuring, visitor, basis_of_result(study)):
                figure = surfaces(study.prediction, spacing, study.truth).to_json()
        except Replaced:
            raise
        except Exception:
            yield bound(study, *RESULT[:4], surfaces=f"failed {secrets.token_hex(8)}")
            raise
        yield bound(study, *RESULT[:4], surfaces=figure)

    def make_file(self, visitor: str, event: Any) -> Iterator[Values]:
        """Writes a file to take away, of the wanted kind."""
        study, kind = self.service.segmented_study(visitor), str(event.kind)

        def answer(**more: Any) -> Values:
            return bound(study, *RESULT[:4], files={**_downloads(study), **more})

        def failed(why: str) -> Values:
            return answer(failed={"kind": kind, "why": why, "as": secrets.token_hex(8)})

        try:
            path = self.service.take_away(visitor, kind)
        except Replaced:
            raise
        except UploadError as error:
            yield failed(str(error))
            return
        except Exception as error:
            yield failed(full_disk(error) or say("files.failed"))
            raise
        yield answer(made={"file": path, "as": secrets.token_hex(8)})

    # What the widgets show

    def _all(self, study: OpenedStudy) -> Values:
        """The page with all that is known about a scan."""
        return {
            **self._rest(study),
            **self._results(study),
            **bound(study, "scan", scan=said(describe(study.volume))),
            **_asked(study),
            **_truth_words(study),
            **self._surfaces_wanted(study),
        }

    def _results(self, study: OpenedStudy) -> Values:
        """The page with what is known about a result."""
        viewer = self._packed(study)
        prediction = study.prediction if isinstance(study, SegmentedStudy) else None
        findings = study.findings if isinstance(study, SegmentedStudy) else None
        has_none = study.truth is not None and not study.truth.tumor.any()
        curves = None
        if findings:
            numbers = findings.prediction, findings.measurements, findings.scores
            curves = slice_curves(*numbers).to_json()
        return bound(
            study,
            *RESULT,
            **({"viewer": viewer} if viewer else {}),
            no_tumors=Properties.of(visible=has_none, value=study.counts_false),
            notices=findings.notices
            if findings
            else notices(study.volume, study.truth, prediction),
            numbers=number_table(findings),
            files=_downloads(study),
            curves=curves,
            **_clearable(study),
        )

    def _packed(self, study: OpenedStudy) -> dict | None:
        """What the viewer shows of a study; None until its scan is packed."""
        value, thresholds = study.shown, self.service.thresholds
        how: dict[str, Any] = {"folder": study.served, "counts_false": study.counts_false}
        if not isinstance(study, SegmentedStudy):
            if value is None or study.truth is None:
                return value
            return pack_masks(value, None, study.truth, thresholds, **how)
        if value is None:
            return None
        if study.findings is None:
            return pack_masks(value, study.prediction, study.truth, thresholds, **how)
        return pack_result(value, study.findings, thresholds, **how)

    def _surfaces_wanted(self, study: OpenedStudy) -> Values:
        """The 3-D figure is drawn when somebody looks; a flat or shapeless scan has none."""
        if not isinstance(study, SegmentedStudy):
            return bound(study, "scan", "prediction", surfaces=None)
        solid = study.volume.voxel_ml is not None and study.prediction.liver.any()
        return bound(study, *RESULT[:4], surfaces="wanted" if solid else None)

    # For programs

    def analyze(self, visitor: str, scan: Any, truth: Any, choose: Any) -> Iterator[Values]:
        """Segments a scan and, with ground truth, scores the result.

        Args:
            visitor: a program; each call is one of its own.
            scan: files or a zip of one CT: DICOM, NIfTI, NRRD, MetaImage, PNG, TIFF or JPG.
            truth: its ground truth, or None.
            choose: answers where the files can be read in several ways, such as "scan=1"; the error
                that comes without them lists them. "truth=0" uses masks beside the scan.

        Returns:
            the report as JSON, and the labels (0 background, 1 liver, 2 tumor) as NIfTI, or as a
            zip of PNG for pictures. Before, in place of the report: {"place", "of"} while the call
            waits for its turn, {"stage", "done", "total"} while the networks work.
        """
        service, answers = self.service, str(choose or "")
        if truth:
            service.open_truth(visitor, self._taken(visitor, {"handles": truth}), answers)
        try:
            service.open_scan(visitor, self._taken(visitor, {"handles": scan or []}), answers)
            service.open_waiting_truth(visitor)
        except ChoiceNeeded as needed:
            raise UploadError(needed.choice.with_answers) from None
        with service.turn(service.segmenting, visitor) as turn:
            for place, count in turn.places():
                yield {"report": {"place": place, "of": count}}
            for step in service.segment(visitor, API_PAUSE_S):
                done = {"stage": step.stage, "done": step.done, "total": step.total}
                yield {"report": done}
        service.score(visitor)
        study = service.score_surfaces(visitor)
        labels = "png" if "png" in offered(study) else "nifti"
        report_file, labels_file = (
            service.take_away(visitor, kind, service.new_served_folder())
            for kind in ("json", labels)
        )
        report = json.loads(report_file.read_text(encoding="utf-8"))
        yield {"report": report, "labels": labels_file}


def _asked(study: Study | None) -> Values:
    """The control for what has to be chosen, or none."""
    choice = study.choice if study else None
    return {"choice": Bound(asking(choice), Basis(study, "choice"))}


def _truth_words(study: OpenedStudy) -> Values:
    """What stands at the box of the ground truth."""
    words = say("page.truth_read") if study.truth is not None else ""
    return bound(study, "scan", "truth", truth=said(words))


def asking(choice: Choice | None) -> Properties:
    """The control with a choice; hidden where there is none."""
    if choice is None:
        return Properties.of(visible=False)
    options = list(zip(choice.options, choice.answers, strict=True))
    return Properties.of(choices=options, label=choice.asked, value=None, visible=True)


def full_disk(error: Exception) -> Sentence | None:
    """What to say of an error where the disk is full; None for any other."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return say("upload.no_room")
    return None


def _clearable(study: Study) -> dict:
    """The buttons that take something away, where there is something."""
    has_truth = isinstance(study, OpenedStudy) and study.truth is not None
    return {
        "clear_scan": Properties.of(visible=isinstance(study, OpenedStudy)),
        "clear_truth": Properties.of(visible=has_truth),
    }


def _downloads(study: Study) -> dict:
    """What can be saved, and why the rest cannot."""
    return {
        "offers": [
            {
                "kind": key,
                "title": KINDS[key].title,
                "note": KINDS[key].note if reason is None else str(reason),
                "possible": reason is None,
            }
            for key, reason in offers(study).items()
        ]
    }
