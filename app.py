"""The page: widgets, events and sentences; the work is done by liverseg.

python app.py        http://127.0.0.1:7860, or where GRADIO_SERVER_NAME and _PORT say
"""

import functools
import inspect
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported

import gradio as gr

from liverseg.errors import SeveralSeries, UploadError, WeightsError
from liverseg.evaluation.readme_tables import about
from liverseg.page.downloads import KINDS, offered
from liverseg.page.figures import slice_curves, surfaces
from liverseg.page.number_table import number_table
from liverseg.page.service import Replaced, Service
from liverseg.page.synthetic_case import LAST, Case
from liverseg.page.temp_folder import Scratch
from liverseg.page.viewer import (
    LiverViewer,
    pack_preview,
    pack_result,
    pack_scan_steps,
    private_folder,
)
from liverseg.page.visitors import MAX_AGE_S, SHARED_LIMIT, Study
from liverseg.page.widgets import (
    CSS,
    Upload,
    component,
    downloads_value,
    plotly_figure,
    prepare_gradio,
    refused,
    said,
    theme,
    upload_box,
)
from liverseg.reading.limits import LIMITS
from liverseg.volume import describe, notices

TITLE = "liverseg"
UNEXPECTED = (
    "Something went wrong here and the step was stopped. Your scan is as it was; try again."
)
NOT_READ = "This could not be read."
PREVIEW_PAUSE_S = 0.3  # nobody sees masks that change more often
API_PAUSE_S = 1.0
SWEEP_PAUSE_S = 5
MAX_WAITING = 40  # events in the queue; a class of thirty fits in

INTRODUCTION = """## liverseg
Finds the liver and its tumors in an abdominal CT.

**Teaching demo, not for diagnosis.**"""
SCAN_HINT = """DICOM, NIfTI, PNG or JPG: drop files, a folder or a zip here.
<strong>Do not upload identifiable patient data.</strong>"""
TRUTH_HINT = "Masks of the same scan: 3D-IRCADb folders, DICOM SEG, NIfTI or PNG."
TRUTH_READ = "The ground truth is on the scan."
TRUTH_WAITS = "Kept until the scan is here."
CURVES_HINT = "Areas on every slice and, with a ground truth, Dice appear here."
SURFACES_HINT = "Liver and tumors in space appear here, where the voxels' size is known."
HOUSE_RULES = f"""{LIMITS} {SHARED_LIMIT} Uploads are deleted as soon as they are read; the scan
stays in memory while this page is open, for an hour after its last use at most."""
BANNER = "<p><strong>liverseg</strong> <span>Teaching demo, not for diagnosis</span></p>"
ABOUT = f"""
**What it does.** Two small networks (ResUNets in Keras) look at every slice and its neighbors. The
first outlines the liver, the second the tumors inside it. Both make mistakes: that is what there is
to see here. **Do not use it for diagnosis, treatment or any decision about a patient.**

**Where the numbers come from.** Volumes are voxels times their size, which the files state; where
they do not, there are no millimeters. Dice and its relatives compare the networks' mask with the
ground truth that you give. Each number says where its definition comes from. What the networks were
trained on, and how well they do on patients they never saw, is in the README.

**What happens to a scan.** {HOUSE_RULES} What you take away carries no name, date or number of the
patient, but for the DICOM SEG, which must refer to its scan. Nobody else sees any of it, and no
other server is asked.

**From a program.**
```python
from gradio_client import Client, handle_file

report, labels = Client("ADDRESS OF THIS PAGE").predict(
    scan=[handle_file("scan.zip")], truth=None, series=None, api_name="/segment"
)
```
"""

log = logging.getLogger(TITLE)


def speaking(handler):
    """Every exception of an event becomes a sentence; no header text reaches page or log."""

    def sentence(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if isinstance(error, UploadError | WeightsError):
            seen = not isinstance(error, Replaced)  # who opens another scan need not be told
            return gr.Error(str(error), title="Not possible", print_exception=False, visible=seen)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        log.error("%s failed: %s at %s", handler.__name__, type(error).__name__, where)
        return gr.Error(UNEXPECTED, title="Not possible", print_exception=False)

    @functools.wraps(handler)
    def call(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise sentence(error) from None

    @functools.wraps(handler)
    def generate(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except Exception as error:
            raise sentence(error) from None

    return generate if inspect.isgeneratorfunction(handler) else call


class Page:
    """The widgets and what their events do.

    Nothing of a visitor is kept here: every handler asks the service for the study of the session
    that caused the event.
    """

    def __init__(self, service: Service):
        self.service = service
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as self.blocks:
            self._place_panel()
            self._place_reading_room()
            self._connect()
            self.blocks.unload(self.leave)

    def _place_panel(self) -> None:
        with gr.Sidebar(width=330, elem_id="panel") as self.panel:
            gr.Markdown(INTRODUCTION)
            self.scan = upload_box("CT scan", SCAN_HINT, elem_id="scan")
            self.series = gr.Radio(label="Which one?", visible=False, elem_id="series")
            self.truth = upload_box("Ground truth, optional", TRUTH_HINT, elem_id="truth")
            self.segment = gr.Button(
                "Segment", variant="primary", interactive=False, elem_id="segment"
            )
            with gr.Row(elem_id="example"):
                self.example = gr.Button("Synthetic case", scale=3, elem_id="synthetic")
                self.seed = gr.Number(
                    0,
                    label="Number of the synthetic case",
                    show_label=False,
                    precision=0,
                    minimum=0,
                    maximum=LAST,
                    scale=1,
                    min_width=64,
                    container=False,
                    elem_id="seed",
                )
            with gr.Accordion("Limits and privacy", open=False):
                gr.Markdown(HOUSE_RULES, elem_id="limits")

    def _place_reading_room(self) -> None:
        with gr.Row(elem_id="bar"):
            gr.HTML(BANNER, elem_id="banner")
            self.status = component("progress", elem_id="status")
            self.cancel = gr.Button("Cancel", size="sm", visible="hidden", elem_id="cancel")
            self.another = gr.Button("New scan", size="sm", elem_id="another")
        self.viewer = LiverViewer(elem_id="viewer")
        self.notices = component("notices", elem_id="notices")
        with gr.Tabs(elem_id="results"):
            with gr.Tab("Numbers"):
                self.numbers = component("number_table", elem_id="numbers")
            with gr.Tab("Along the slices"):
                self.curves = plotly_figure(CURVES_HINT, linked=True, elem_id="curves")
            with gr.Tab("In 3-D"):
                self.surfaces = plotly_figure(SURFACES_HINT, elem_id="surfaces")
            with gr.Tab("Take away"):
                self.files = component("downloads", elem_id="files")
            with gr.Tab("About"):
                gr.Markdown(f"**How good it is.** {about()}\n{ABOUT}", elem_id="about")

    def _connect(self) -> None:
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        reading = {"concurrency_limit": 2, "concurrency_id": "reading", "api_visibility": "private"}
        model = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}
        status = {"show_progress_on": [self.status]}
        results = [self.viewer, self.notices, self.numbers, self.curves]
        results += [self.surfaces, self.files]
        panel = [self.scan, self.series, self.truth, self.segment]
        everything = [*results, *panel]

        for box, read in ((self.scan, self.open_scan), (self.truth, self.open_truth)):
            given = box.upload(read, box, everything, **reading, **status)
            given.failure(lambda: refused(NOT_READ), None, box, queue=False, **quiet)
        self.series.input(self.open_series, self.series, everything, **reading, **status)
        asked = [*everything, self.status, self.panel]
        example = self.example.click(self.open_synthetic, self.seed, asked, **reading, **status)
        self.viewer.open_case(self.open_case, None, asked, **reading, **status)
        busy = [self.panel, self.segment, self.cancel]
        rest = [self.segment, self.cancel, self.viewer, self.status]
        runs = []
        for start in (self.segment.click, self.viewer.segment, example.success):
            begun = start(self.begin, None, busy, queue=False, **quiet)
            run = begun.success(self.run, None, [*results, *rest], **model, **status)
            run.failure(self.rest, None, rest, queue=False, **quiet)
            scored = run.success(self.score, None, results, **reading, **status)
            scored.success(self.score_surfaces, None, results, **reading, **status)
            runs.append(run)
        self.cancel.click(self.rest, None, rest, cancels=runs, queue=False, **quiet)
        self.another.click(lambda: gr.Sidebar(open=True), None, self.panel, queue=False, **quiet)
        self.surfaces.wanted(self.draw_surfaces, None, self.surfaces, **reading, **status)
        self.files.make(self.make_file, None, self.files, **reading, **status)
        self._offer_api(model)

    def _offer_api(self, model: dict) -> None:
        """The same work for programs: `Client(url).predict(..., api_name="/segment")`."""
        scan = gr.File(label="scan", file_count="multiple", visible=False)
        truth = gr.File(label="truth", file_count="multiple", visible=False)
        series = gr.Number(None, label="series", precision=0, visible=False)
        report = gr.JSON(label="report", visible=False)
        labels = gr.File(label="segmentation", visible=False)
        gr.Button(visible=False).click(
            self.analyze,
            [scan, truth, series],
            [report, labels],
            api_name="segment",
            **{**model, "api_visibility": "public"},
        )

    # Reading

    @speaking
    def open_scan(self, upload, request: gr.Request):
        """Shows an uploaded scan, asks which of its series it shall be, or says what is wrong."""
        try:
            self.service.open_scan(request.session_hash, Upload.of(upload))
        except SeveralSeries as error:
            choices = [(text, k) for k, text in enumerate(error.choices)]
            yield {
                self.scan: said(str(error)),
                self.series: gr.Radio(choices, value=None, visible=True),
            }
            return
        except UploadError as error:
            yield {self.scan: refused(str(error)), self.series: gr.Radio(visible=False)}
            return
        yield from self._uploaded(request.session_hash)

    @speaking
    def open_series(self, series: int, request: gr.Request):
        """Shows the chosen series."""
        self.service.open_series(request.session_hash, series)
        yield from self._uploaded(request.session_hash)

    @speaking
    def open_synthetic(self, seed: int | None, request: gr.Request):
        """Shows the synthetic case of this number; of an empty field, the first."""
        yield from self._open_case(request.session_hash, Case(int(seed or 0)))

    @speaking
    def open_case(self, request: gr.Request, event: gr.EventData):
        """Shows the synthetic case that a lesson asks for."""
        case = Case(int(event.number), event.size, event.contrast)
        yield from self._open_case(request.session_hash, case)

    def _open_case(self, visitor: str, case: Case):
        making = {"stage": "Making the synthetic case"}
        yield {self.panel: gr.Sidebar(open=False), self.status: making}
        self.service.open_synthetic(visitor, case)
        yield from self._opened(visitor)
        yield {self.status: None}

    @speaking
    def open_truth(self, upload, request: gr.Request):
        """Lays an uploaded ground truth on the scan; scores the result that is there."""
        visitor = request.session_hash
        try:
            study = self.service.open_truth(visitor, Upload.of(upload))
        except UploadError as error:
            yield {self.truth: refused(str(error))}
            return
        if study.truth is None:
            yield {self.truth: said(TRUTH_WAITS)}
        elif study.prediction is None:
            yield {**self._results(visitor), self.truth: said(TRUTH_READ)}
        else:
            for add in (self.service.score, self.service.score_surfaces):
                add(visitor)
                yield {**self._results(visitor), self.truth: said(TRUTH_READ)}
            yield {self.surfaces: self._surfaces_wanted(visitor)}

    def _uploaded(self, visitor: str):
        """The page with an uploaded scan, and the ground truth that waited for it."""
        refusal = None
        try:
            self.service.open_waiting_truth(visitor)
        except UploadError as error:
            refusal = refused(str(error))
        yield from self._opened(visitor)
        if refusal:
            yield {self.truth: refusal}

    def _opened(self, visitor: str):
        """The page with a scan that was just read: its middle slice first."""
        study = self.service.studies.of(visitor)
        for shown in pack_scan_steps(study.volume, study.served, study.case):
            yield {self.viewer: shown}
        self.service.studies.update(visitor, shown=shown)
        yield {
            **self._results(visitor),
            self.scan: said(describe(study.volume)),
            self.series: gr.Radio(visible=False),
            self.truth: said(TRUTH_READ if study.truth is not None else ""),
            self.segment: gr.Button(interactive=True),
            self.surfaces: None,
        }

    # Segmenting

    def begin(self):
        """The page while the networks run."""
        return gr.Sidebar(open=False), gr.Button(interactive=False), gr.Button(visible=True)

    def rest(self, request: gr.Request):
        """The page while nothing runs: what was there before is there again."""
        return {
            self.segment: gr.Button(interactive=True),
            self.cancel: gr.Button(visible="hidden"),
            self.viewer: self.service.studies.of(request.session_hash).shown or gr.skip(),
            self.status: None,
        }

    @speaking
    def run(self, request: gr.Request):
        """Runs the networks; masks appear as they are found, from the middle outwards."""
        visitor = request.session_hash
        study = self.service.studies.of(visitor)
        value = study.shown
        for step in self.service.segment(visitor, PREVIEW_PAUSE_S):
            if step.result is None:
                value = pack_preview(value, step, folder=study.served)
                done = {"stage": step.stage, "done": step.done, "total": step.total}
                yield {self.viewer: value, self.status: done}
        results = self._results(visitor)
        yield {**self.rest(request), **results, self.surfaces: self._surfaces_wanted(visitor)}

    @speaking
    def score(self, request: gr.Request):
        """Adds measurements and scores to the masks on the screen."""
        self.service.score(request.session_hash)
        return self._results(request.session_hash)

    @speaking
    def score_surfaces(self, request: gr.Request):
        """Adds the distances between surfaces."""
        self.service.score_surfaces(request.session_hash)
        return self._results(request.session_hash)

    def _results(self, visitor: str) -> dict:
        """The page with what is known about the visitor's scan now."""
        study = self.service.studies.of(visitor)
        value, curves = study.shown, None
        if value and (study.prediction or study.truth):
            value = pack_result(
                value,
                study.prediction,
                study.truth,
                study.scores,
                study.measurements,
                study.truth_measurements,
                self.service.thresholds,
                folder=study.served,
            )
            self.service.studies.update(visitor, shown=value)
        if study.measurements:
            curves = slice_curves(study.prediction, study.measurements, study.scores).to_json()
        return {
            self.viewer: value,
            self.notices: notices(study.volume, study.truth, study.prediction),
            self.numbers: number_table(study),
            self.files: downloads_value(self._offers(study)),
            self.curves: curves,
        }

    def _surfaces_wanted(self, visitor: str) -> str | None:
        """The 3-D figure is drawn when somebody looks; a flat or shapeless scan has none."""
        study = self.service.studies.of(visitor)
        solid = study.volume.voxel_ml is not None and study.prediction.liver.any()
        return "wanted" if solid else None

    @speaking
    def draw_surfaces(self, request: gr.Request):
        """The figure in 3-D."""
        study = self.service.studies.of(request.session_hash)
        return surfaces(study.prediction, study.volume.spacing, study.truth).to_json()

    def _offers(self, study: Study) -> list[dict]:
        return [
            {"kind": key, "title": KINDS[key].title, "note": KINDS[key].note}
            for key in offered(study)
        ]

    @speaking
    def make_file(self, request: gr.Request, event: gr.EventData):
        """Writes a file to take away."""
        visitor = request.session_hash
        path = self.service.take_away(visitor, event.kind)
        return downloads_value(self._offers(self.service.studies.of(visitor)), path)

    def leave(self, request: gr.Request):
        """The tab was closed, or its connection broke."""
        self.service.studies.leave(request.session_hash)

    # For programs

    @speaking
    def analyze(self, scan, truth, series):
        """Segments a scan and, with ground truth, scores the result.

        Args:
            scan: files or a zip of one CT: DICOM, NIfTI, PNG or JPG.
            truth: its ground truth, or None.
            series: which scan, where there are several; None otherwise.

        Returns:
            the report as JSON, and the labels (0 background, 1 liver, 2 tumor) as NIfTI, or as a
            zip of PNG for pictures.
        """
        with self.service.visit() as visitor:
            if truth:
                self.service.open_truth(visitor, Upload([Path(path) for path in truth]))
            received = Upload([Path(path) for path in scan or ()])
            self.service.open_scan(visitor, received, series)
            self.service.open_waiting_truth(visitor)
            for _ in self.service.segment(visitor, API_PAUSE_S):
                yield None, None
            self.service.score(visitor)
            study = self.service.score_surfaces(visitor)
            labels = "png" if "png" in offered(study) else "nifti"
            report, labels = (
                self.service.take_away(visitor, kind, private_folder()) for kind in ("json", labels)
            )
        yield json.loads(report.read_text(encoding="utf-8")), str(labels)


def serve(scratch: Scratch, **settings) -> Page:
    """Serves the page from threads of its own; a page for tests and `main`.

    Args:
        scratch: where everything goes that touches the disk.
        settings: of `gr.Blocks.launch`.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(scratch.gradio)
    prepare_gradio()
    page = Page(Service(scratch.visitors, scratch.gradio))
    page.blocks.queue(default_concurrency_limit=4, max_size=MAX_WAITING)
    page.blocks.launch(
        prevent_thread_lock=True,
        theme=theme(),
        css=CSS,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        state_session_capacity=100,
        max_file_size=LIMITS.file_bytes,
        **settings,
    )
    return page


def main() -> None:
    """Serves the page until the process is told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Scratch() as scratch:
        page = serve(scratch)
        threading.Thread(target=sweep, args=(scratch, page.service), daemon=True).start()
        page.blocks.block_thread()


def sweep(scratch: Scratch, service: Service) -> None:
    """Keeps memory and disk from filling up, as long as the process lives."""
    while True:
        time.sleep(SWEEP_PAUSE_S)
        try:
            service.studies.sweep()
            scratch.sweep(MAX_AGE_S, keep=service.studies.folders())
        except Exception as error:  # without this thread nothing would be freed any more
            log.error("sweeping failed: %s", type(error).__name__)


if __name__ == "__main__":
    main()
