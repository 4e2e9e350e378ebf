"""What the page does at each event: from a visitor to the values of their widgets.

A handler gets the visitor and the values of the event's inputs. It returns or yields values by the
name of their widget (see `app.Page`), as plain data; `events` makes of them what Gradio wants.
Nothing of a visitor is kept here: every handler asks the service for the visitor's study.
"""

import errno
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import ChoiceNeeded, UploadError
from ..reading.choice import Choice
from ..sentences import Sentence, say
from ..volume import describe, notices
from .downloads import KINDS, offered
from .figures import slice_curves, surfaces
from .jobs import Values
from .number_table import number_table
from .service import Service
from .synthetic_case import SyntheticCase
from .uploads import Upload, refused, said
from .viewer.packing import pack_masks, pack_preview, pack_result, pack_scan_steps
from .visitors import OpenedStudy, SegmentedStudy, Study, id_of

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
            yield {**self._all(visitor), "panel": Properties.of(open=not is_segmented)}
        elif getattr(event, "had", False):
            yield {"scan": refused(say("study.gone")), **self._rest(visitor)}
        for one in self.service.jobs.of(visitor):
            yield from one.follow()

    # Reading

    @job("reading")
    def open_scan(self, visitor: str, upload: Any) -> Iterator[Values]:
        """Shows an uploaded scan, asks what it is, or says what is wrong."""
        try:
            self.service.open_scan(visitor, self._taken(visitor, upload))
        except ChoiceNeeded as error:
            yield {"scan": said(str(error)), "choice": asking(error.choice)}
            return
        except UploadError as error:
            yield {"scan": refused(str(error)), **self._asked(visitor)}
            return
        except Exception as error:
            yield {"scan": refused(full_disk(error) or say("page.not_read"))}
            raise
        yield from self._uploaded(visitor)

    @job("reading")
    def answer(self, visitor: str, chosen: Any) -> Iterator[Values]:
        """Goes on with an upload about which something was asked."""
        before = self.service.visitors.of(visitor)
        box = "scan" if before and before.asked_of_scan else "truth"
        try:
            self.service.answer(visitor, str(chosen))
        except ChoiceNeeded as error:
            yield {box: said(str(error)), "choice": asking(error.choice)}
        except UploadError as error:
            yield {box: refused(str(error)), **self._asked(visitor)}
        else:
            yield from self._uploaded(visitor) if box == "scan" else self._with_truth(visitor)

    @job("reading")
    def open_synthetic(self, visitor: str, seed: Any) -> Iterator[Values]:
        """Shows the synthetic case of this number; of an empty field, the first."""
        yield from self._open_case(visitor, SyntheticCase(int(seed or 0)))
        yield from self._run(visitor)

    @job("reading")
    def open_case(self, visitor: str, event: Any) -> Iterator[Values]:
        """Shows the synthetic case that a lesson asks for: its number, size and contrast."""
        case = SyntheticCase(int(event.number), event.size, event.contrast)
        yield from self._open_case(visitor, case)

    def _open_case(self, visitor: str, case: SyntheticCase) -> Iterator[Values]:
        yield {"panel": Properties.of(open=False), "status": {"stage": say("stage.making_case")}}
        try:
            self.service.open_synthetic(visitor, case)
            yield from self._opened(visitor)
        except Exception:
            yield {"status": None}
            raise

    @job("truth")
    def open_truth(self, visitor: str, upload: Any) -> Iterator[Values]:
        """Lays an uploaded ground truth on the scan; scores the result that is there."""
        try:
            study = self.service.open_truth(visitor, self._taken(visitor, upload))
        except ChoiceNeeded as error:
            yield {"truth": said(str(error)), "choice": asking(error.choice)}
            return
        except UploadError as error:
            yield {"truth": refused(str(error)), **self._asked(visitor)}
            return
        except Exception as error:
            yield {"truth": refused(full_disk(error) or say("page.not_read"))}
            raise
        if isinstance(study, OpenedStudy):
            yield from self._with_truth(visitor)
        else:
            yield {"truth": said(say("page.truth_waits"))}

    def _with_truth(self, visitor: str) -> Iterator[Values]:
        """The page with a ground truth that was just read, or is not wanted."""
        study = self.service.opened_study(visitor)
        words = said(say("page.truth_read") if study.truth is not None else "")
        yield {**self._results(visitor), "truth": words, **self._asked(visitor)}
        if isinstance(study, SegmentedStudy):
            yield from self._scored(visitor)

    def _asked(self, visitor: str) -> Values:
        """The control for what has to be chosen, or none."""
        study = self.service.visitors.of(visitor)
        return {"choice": asking(study.asked if study else None)}

    def _taken(self, visitor: str, upload: Any) -> Upload:
        """The files of an upload box, or of a program."""
        handles, names = (upload or {}).get("handles", []), (upload or {}).get("names")
        names = list(map(str, names)) if names else None
        return self.service.uploads.take(handles, names, id_of(visitor))

    def _uploaded(self, visitor: str) -> Iterator[Values]:
        """The page with an uploaded scan, and the ground truth that waited for it."""
        answer = None
        try:
            self.service.open_waiting_truth(visitor)
        except ChoiceNeeded as error:
            answer = said(str(error))
        except UploadError as error:
            answer = refused(str(error))
        yield from self._opened(visitor)
        if answer:
            yield {"truth": answer}

    def _opened(self, visitor: str) -> Iterator[Values]:
        """The page with a scan that was just read: its middle slice first."""
        study = self.service.opened_study(visitor)
        packed = pack_scan_steps(study.volume, study.served, study.case)
        first = next(packed)
        yield {"viewer": first}
        *_, shown = first, *packed  # all of it, which `_all` shows
        self.service.show(visitor, study.volume, shown)
        yield self._all(visitor)

    # Segmenting

    @job("segmenting")
    def run(self, visitor: str) -> Iterator[Values]:
        """Runs the networks; masks appear as they are found, from the middle outwards."""
        yield from self._run(visitor)

    def _run(self, visitor: str) -> Iterator[Values]:
        """The page while the networks run and the result is measured."""
        yield {
            "panel": Properties.of(open=False),
            "segment": Properties.of(interactive=False),
            "cancel": Properties.of(visible=True),
        }
        try:
            yield from self._segmented(visitor)
            yield {**self._rest(visitor), **self._results(visitor)}
            yield from self._scored(visitor)
        except Exception:
            yield self._rest(visitor)
            raise

    def _segmented(self, visitor: str) -> Iterator[Values]:
        with self.service.turn(self.service.segmenting, visitor) as turn:
            for place, count in turn.places():
                yield {"status": {"stage": say("label.place", place=place, count=count)}}
            study = self.service.opened_study(visitor)
            value = study.shown
            for step in self.service.segment(visitor, PREVIEW_PAUSE_S):
                if step.result is None:
                    value = value and pack_preview(value, step, folder=study.served)
                    done = {"stage": step.stage, "done": step.done, "total": step.total}
                    yield {**({"viewer": value} if value else {}), "status": done}

    def _scored(self, visitor: str) -> Iterator[Values]:
        """The page with more and more numbers about its result."""
        for add in (self.service.score, self.service.score_surfaces):
            add(visitor)
            yield self._results(visitor)
        yield {"surfaces": self._surfaces_wanted(visitor)}

    def cancel(self, visitor: str) -> Values:
        """Stops the work; what was there before is there again."""
        for kind in ("reading", "segmenting"):
            self.service.jobs.stop(visitor, kind)
        return self._rest(visitor)

    def _rest(self, visitor: str) -> Values:
        """The page while nothing runs."""
        study = self.service.visitors.of(visitor)
        shown = study.shown if isinstance(study, OpenedStudy) else None
        return {
            "segment": Properties.of(interactive=isinstance(study, OpenedStudy)),
            "cancel": Properties.of(visible="hidden"),
            **({"viewer": shown} if shown else {}),
            "status": None,
        }

    # What a result offers

    def draw_surfaces(self, visitor: str) -> Values:
        """The figure in 3-D."""
        study = self.service.segmented_study(visitor)
        spacing = study.volume.voxel_mm
        assert spacing is not None  # else the figure is not "wanted"
        with self.service.called(self.service.measuring, visitor):
            return {"surfaces": surfaces(study.prediction, spacing, study.truth).to_json()}

    def make_file(self, visitor: str, event: Any) -> Iterator[Values]:
        """Writes a file to take away, of the wanted kind."""
        path = self.service.take_away(visitor, str(event.kind))
        study = self.service.opened_study(visitor)
        yield {"files": {**_downloads(study), "made": {"file": path, "as": secrets.token_hex(8)}}}

    # What the widgets show

    def _all(self, visitor: str) -> Values:
        """The page with all that is known about the visitor's scan."""
        study = self.service.opened_study(visitor)
        is_segmented = isinstance(study, SegmentedStudy)
        return {
            **self._rest(visitor),
            **self._results(visitor),
            "scan": said(describe(study.volume)),
            **self._asked(visitor),
            "truth": said(say("page.truth_read") if study.truth is not None else ""),
            "surfaces": self._surfaces_wanted(visitor) if is_segmented else None,
        }

    def _results(self, visitor: str) -> Values:
        """The page with what is known about the visitor's result now."""
        study = self.service.opened_study(visitor)
        prediction = study.prediction if isinstance(study, SegmentedStudy) else None
        findings = study.findings if isinstance(study, SegmentedStudy) else None
        said_of = notices(study.volume, study.truth, prediction)
        value, curves = study.shown, None
        if value and (prediction or study.truth):
            value = self._packed(value, study)
            self.service.show(visitor, study.volume, value)
        if findings:
            said_of = findings.notices
            numbers = findings.prediction, findings.measurements, findings.scores
            curves = slice_curves(*numbers).to_json()
        return {
            "viewer": value,
            "notices": said_of,
            "numbers": number_table(findings),
            "files": _downloads(study),
            "curves": curves,
        }

    def _packed(self, value: dict, study: OpenedStudy) -> dict:
        """The viewer's value with what is known of the masks."""
        thresholds, folder = self.service.thresholds, study.served
        if not isinstance(study, SegmentedStudy):
            return pack_masks(value, None, study.truth, thresholds, folder=folder)
        if study.findings is None:
            return pack_masks(value, study.prediction, study.truth, thresholds, folder=folder)
        return pack_result(value, study.findings, thresholds, folder=folder)

    def _surfaces_wanted(self, visitor: str) -> str | None:
        """The 3-D figure is drawn when somebody looks; a flat or shapeless scan has none."""
        study = self.service.segmented_study(visitor)
        solid = study.volume.voxel_ml is not None and study.prediction.liver.any()
        return "wanted" if solid else None

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


def _downloads(study: Study) -> dict:
    """What can be saved."""
    offers = [
        {"kind": key, "title": KINDS[key].title, "note": KINDS[key].note} for key in offered(study)
    ]
    return {"offers": offers}
