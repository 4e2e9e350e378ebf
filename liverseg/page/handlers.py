"""What the page does at each event: from a session to the values of its widgets.

A handler gets the session's hash and the values of the event's inputs. It returns or yields values
by the name of their widget (see `app.Page`), as plain data; `events` makes of them what Gradio
wants. Nothing of a visitor is kept here: every handler asks the service for the session's study.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SeveralSeries, UploadError
from ..volume import describe, notices
from .downloads import KINDS, offered
from .figures import slice_curves, surfaces
from .number_table import number_table
from .service import Service
from .synthetic_case import SyntheticCase
from .texts import MAKING_CASE, TRUTH_READ, TRUTH_WAITS
from .uploads import Upload, refused, said
from .viewer.packing import pack_masks, pack_preview, pack_result, pack_scan_steps
from .visitors import OpenedStudy, SegmentedStudy, Study

PREVIEW_PAUSE_S = 0.3  # nobody sees masks that change more often
API_PAUSE_S = 1.0

Values = dict[str, Any]


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


class Handlers:
    """What happens at each event; the service does the work."""

    def __init__(self, service: Service):
        self.service = service

    # Reading

    def open_scan(self, session: str, upload: dict) -> Iterator[Values]:
        """Shows an uploaded scan, asks which of its series it shall be, or says what is wrong."""
        try:
            self.service.open_scan(session, Upload.of_box(upload, self.service.served))
        except SeveralSeries as error:
            choices = [(text, k) for k, text in enumerate(error.choices)]
            asked = Properties.of(choices=choices, value=None, visible=True)
            yield {"scan": said(str(error)), "series": asked}
            return
        except UploadError as error:
            yield {"scan": refused(str(error)), "series": Properties.of(visible=False)}
            return
        yield from self._uploaded(session)

    def open_series(self, session: str, series: int) -> Iterator[Values]:
        """Shows the chosen series."""
        self.service.open_series(session, series)
        yield from self._uploaded(session)

    def open_synthetic(self, session: str, seed: int | None) -> Iterator[Values]:
        """Shows the synthetic case of this number; of an empty field, the first."""
        yield from self._open_case(session, SyntheticCase(int(seed or 0)))

    def open_case(self, session: str, event: Any) -> Iterator[Values]:
        """Shows the synthetic case that a lesson asks for: its number, size and contrast."""
        case = SyntheticCase(int(event.number), event.size, event.contrast)
        yield from self._open_case(session, case)

    def _open_case(self, session: str, case: SyntheticCase) -> Iterator[Values]:
        yield {"panel": Properties.of(open=False), "status": {"stage": MAKING_CASE}}
        self.service.open_synthetic(session, case)
        yield from self.opened(session)
        yield {"status": None}

    def open_truth(self, session: str, upload: dict) -> Iterator[Values]:
        """Lays an uploaded ground truth on the scan; scores the result that is there."""
        try:
            study = self.service.open_truth(session, Upload.of_box(upload, self.service.served))
        except UploadError as error:
            yield {"truth": refused(str(error))}
            return
        if not isinstance(study, OpenedStudy):
            yield {"truth": said(TRUTH_WAITS)}
        elif not isinstance(study, SegmentedStudy):
            yield {**self._results(session), "truth": said(TRUTH_READ)}
        else:
            for add in (self.service.score, self.service.score_surfaces):
                add(session)
                yield {**self._results(session), "truth": said(TRUTH_READ)}
            yield {"surfaces": self._surfaces_wanted(session)}

    def _uploaded(self, session: str) -> Iterator[Values]:
        """The page with an uploaded scan, and the ground truth that waited for it."""
        refusal = None
        try:
            self.service.open_waiting_truth(session)
        except UploadError as error:
            refusal = refused(str(error))
        yield from self.opened(session)
        if refusal:
            yield {"truth": refusal}

    def opened(self, session: str) -> Iterator[Values]:
        """The page with a scan that was just read: its middle slice first."""
        study = self.service.opened_study(session)
        for shown in pack_scan_steps(study.volume, study.served, study.case):
            yield {"viewer": shown}
        self.service.show(session, study.volume, shown)
        yield {
            **self._results(session),
            "scan": said(describe(study.volume)),
            "series": Properties.of(visible=False),
            "truth": said(TRUTH_READ if study.truth is not None else ""),
            "segment": Properties.of(interactive=True),
            "surfaces": None,
        }

    # Segmenting

    def begin(self, session: str) -> Values:
        """The page while the networks run."""
        return {
            "panel": Properties.of(open=False),
            "segment": Properties.of(interactive=False),
            "cancel": Properties.of(visible=True),
        }

    def rest(self, session: str) -> Values:
        """The page while nothing runs: what was there before is there again."""
        study = self.service.studies.of(session)
        shown = study.shown if isinstance(study, OpenedStudy) else None
        return {
            "segment": Properties.of(interactive=True),
            "cancel": Properties.of(visible="hidden"),
            **({"viewer": shown} if shown else {}),
            "status": None,
        }

    def run(self, session: str) -> Iterator[Values]:
        """Runs the networks; masks appear as they are found, from the middle outwards."""
        study = self.service.opened_study(session)
        value = study.shown
        for step in self.service.segment(session, PREVIEW_PAUSE_S):
            if step.result is None:
                value = value and pack_preview(value, step, folder=study.served)
                done = {"stage": step.stage, "done": step.done, "total": step.total}
                yield {**({"viewer": value} if value else {}), "status": done}
        results = self._results(session)
        wanted = {"surfaces": self._surfaces_wanted(session)}
        yield {**self.rest(session), **results, **wanted}

    def score(self, session: str) -> Values:
        """Adds measurements and scores to the masks on the screen."""
        self.service.score(session)
        return self._results(session)

    def score_surfaces(self, session: str) -> Values:
        """Adds the distances between surfaces."""
        self.service.score_surfaces(session)
        return self._results(session)

    def draw_surfaces(self, session: str) -> str:
        """The figure in 3-D."""
        study = self.service.segmented_study(session)
        spacing = study.volume.voxel_mm
        assert spacing is not None  # else the figure is not "wanted"
        return surfaces(study.prediction, spacing, study.truth).to_json()

    def make_file(self, session: str, event: Any) -> Iterator[Values]:
        """Writes a file to take away, of the wanted kind."""
        path = self.service.take_away(session, event.kind)
        yield {"files": _downloads(self.service.studies.of(session), path)}

    def leave(self, session: str) -> None:
        """The tab was closed, or its connection broke."""
        self.service.studies.leave(session)

    # What the widgets show

    def _results(self, session: str) -> Values:
        """The page with what is known about the visitor's scan now."""
        study = self.service.opened_study(session)
        prediction = study.prediction if isinstance(study, SegmentedStudy) else None
        findings = study.findings if isinstance(study, SegmentedStudy) else None
        value, curves = study.shown, None
        if value and (prediction or study.truth):
            value = self._packed(value, study)
            self.service.show(session, study.volume, value)
        if findings:
            numbers = findings.prediction, findings.measurements, findings.scores
            curves = slice_curves(*numbers).to_json()
        return {
            "viewer": value,
            "notices": notices(study.volume, study.truth, prediction),
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

    def _surfaces_wanted(self, session: str) -> str | None:
        """The 3-D figure is drawn when somebody looks; a flat or shapeless scan has none."""
        study = self.service.segmented_study(session)
        solid = study.volume.voxel_ml is not None and study.prediction.liver.any()
        return "wanted" if solid else None

    # For programs

    def analyze(
        self, session: str, scan: list[str] | None, truth: list[str] | None, series: int | None
    ) -> Iterator[tuple[dict | None, str | None]]:
        """Segments a scan and, with ground truth, scores the result.

        Args:
            session: of the call; each is a visitor of its own.
            scan: files or a zip of one CT: DICOM, NIfTI, PNG or JPG.
            truth: its ground truth, or None.
            series: which scan, where there are several; None otherwise.

        Returns:
            the report as JSON, and the labels (0 background, 1 liver, 2 tumor) as NIfTI, or as a
            zip of PNG for pictures.
        """
        with self.service.visit() as visitor:
            if truth:
                self.service.open_truth(visitor, self._upload(truth))
            self.service.open_scan(visitor, self._upload(scan or []), series)
            self.service.open_waiting_truth(visitor)
            for _ in self.service.segment(visitor, API_PAUSE_S):
                yield None, None
            self.service.score(visitor)
            study = self.service.score_surfaces(visitor)
            labels = "png" if "png" in offered(study) else "nifti"
            report_file, labels_file = (
                self.service.take_away(visitor, kind, self.service.new_served_folder())
                for kind in ("json", labels)
            )
        yield json.loads(report_file.read_text(encoding="utf-8")), str(labels_file)

    def _upload(self, paths: list[str]) -> Upload:
        return Upload([Path(path) for path in paths], self.service.served)


def _downloads(study: Study, file: Path | None = None) -> dict:
    """What can be saved, and a file to save now."""
    offers = [
        {"kind": key, "title": KINDS[key].title, "note": KINDS[key].note} for key in offered(study)
    ]
    return {"offers": offers, "file": file}
