"""The page: widgets, events and sentences; the work is done by liverseg.

python app.py        http://127.0.0.1:7860, or where GRADIO_SERVER_NAME and _PORT say
"""

import functools
import inspect
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
from liverseg.numbers import describe, headline, notices, number_table
from liverseg.scratch import Scratch
from liverseg.service import Service
from liverseg.studies import MAX_AGE_S, Study
from liverseg.viewer import LiverViewer, pack_preview, pack_result, pack_scan
from liverseg.widgets import (
    CSS,
    Headline,
    Notices,
    NumberTable,
    PlotlyView,
    UploadBox,
    allow_plotly,
    refused,
    said,
    theme,
)

TITLE = "liverseg"
UNEXPECTED = (
    "Something went wrong here and the step was stopped. Your scan is as it was; try again."
)
PREVIEW_PAUSE_S = 0.3  # nobody sees masks that change more often
SWEEP_PAUSE_S = 60
MAX_WAITING = 40  # events in the queue; a class of thirty fits in

INTRODUCTION = """## liverseg
Finds the liver and its tumors in an abdominal CT.

**Teaching demo, not for diagnosis.**"""
SCAN_HINT = """Drop DICOM, NIfTI, PNG or JPG here: files, a folder or a zip.
<strong>Do not upload identifiable patient data.</strong>"""
TRUTH_HINT = "Masks of the same scan: 3D-IRCADb, DICOM SEG, NIfTI or PNG."
LIMITS = "Limits"
BANNER = "<p><strong>liverseg</strong> <span>Teaching demo, not for diagnosis</span></p>"
ABOUT = "About"

log = logging.getLogger(TITLE)


def speaking(handler):
    """Every exception of an event becomes a sentence; no header text reaches page or log."""

    def sentence(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if isinstance(error, UploadError | WeightsError):
            return gr.Error(str(error), title="Not possible", print_exception=False)
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
            self.scan = UploadBox("CT scan", SCAN_HINT, elem_id="scan")
            self.series = gr.Radio(label="Which one?", visible=False, elem_id="series")
            self.truth = UploadBox("Ground truth, optional", TRUTH_HINT, elem_id="truth")
            self.segment = gr.Button(
                "Segment", variant="primary", interactive=False, elem_id="segment"
            )
            with gr.Row(elem_id="example", equal_height=True):
                self.example = gr.Button("Synthetic case", scale=3, elem_id="synthetic")
                self.seed = gr.Number(
                    0, label="Number", precision=0, minimum=0, scale=1, min_width=70
                )
            gr.Markdown(LIMITS, elem_id="limits")

    def _place_reading_room(self) -> None:
        with gr.Row(elem_id="bar"):
            gr.HTML(BANNER, elem_id="banner")
            self.status = gr.HTML(elem_id="status")
            self.cancel = gr.Button("Cancel", size="sm", visible="hidden", elem_id="cancel")
        self.viewer = LiverViewer(elem_id="viewer")
        self.headline = Headline(headline(None), elem_id="headline")
        self.notices = Notices(elem_id="notices")
        with gr.Tabs(elem_id="results"):
            with gr.Tab("Numbers"):
                self.numbers = NumberTable(elem_id="numbers")
            with gr.Tab("Along the slices"):
                self.curves = PlotlyView(linked=True, elem_id="curves")
            with gr.Tab("In 3-D"):
                self.surfaces = PlotlyView(elem_id="surfaces")
            with gr.Tab("About"):
                gr.Markdown(ABOUT, elem_id="about")

    def _connect(self) -> None:
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        reading = {**quiet, "concurrency_limit": 2, "concurrency_id": "reading"}
        working = {"show_progress_on": [self.status], "api_visibility": "private"}
        model = {**working, "concurrency_limit": 1, "concurrency_id": "model"}
        shown = [
            self.viewer, self.headline, self.notices, self.numbers, self.curves, self.surfaces,
        ]  # fmt: skip
        panel = [self.scan, self.series, self.truth, self.segment]

        self.scan.upload(self.open_scan, self.scan, [*shown, *panel], **reading)
        self.series.input(self.open_series, self.series, [*shown, *panel], **reading)
        self.truth.upload(self.open_truth, self.truth, [*shown, self.truth], **reading)
        example = self.example.click(
            self.open_synthetic, self.seed, [*shown, *panel], **{**working, **reading}
        )
        started = [
            start(self.begin, None, [self.panel, self.segment, self.cancel], queue=False, **quiet)
            for start in (self.segment.click, example.success)
        ]
        runs = [one.success(self.run, None, [self.viewer, self.status], **model) for one in started]
        rest = [self.segment, self.cancel]
        for run in runs:
            run.then(self.rest, None, rest, queue=False, **quiet)
            run.success(self.score, None, shown, **reading)
        self.cancel.click(self.rest, None, rest, cancels=runs, queue=False, **quiet)

    # Reading

    @speaking
    def open_scan(self, upload, request: gr.Request):
        """Shows an uploaded scan, or asks which of its series it shall be."""
        return self._opening(lambda visitor: self.service.open_scan(visitor, upload), request)

    @speaking
    def open_series(self, series: int, request: gr.Request):
        """Shows the chosen series."""
        return self._opening(lambda visitor: self.service.open_series(visitor, series), request)

    @speaking
    def open_synthetic(self, seed: int, request: gr.Request):
        """Shows the synthetic case of this number."""
        return self._opening(lambda visitor: self.service.open_synthetic(visitor, seed), request)

    def _opening(self, open_study, request: gr.Request):
        visitor = request.session_hash
        study = open_study(visitor)
        study = self.service.studies.update(visitor, shown=pack_scan(study.volume, study.served))
        return {
            self.viewer: study.shown,
            self.scan: said(describe(study.volume)),
            self.segment: gr.Button(interactive=True),
            self.headline: headline(study),
            self.notices: notices(study),
        }

    @speaking
    def open_truth(self, upload, request: gr.Request):
        """Lays an uploaded ground truth on the scan."""
        self.service.open_truth(request.session_hash, upload)
        return {self.truth: said("ok")}

    # Segmenting

    def begin(self):
        """The page while the networks run."""
        return gr.Sidebar(open=False), gr.Button(interactive=False), gr.Button(visible=True)

    def rest(self):
        """The page while nothing runs."""
        return gr.Button(interactive=True), gr.Button(visible="hidden")

    @speaking
    def run(self, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        """Runs the networks; the masks appear as they are found."""
        study = self.service.studies.of(request.session_hash)
        value = study.shown
        for step in self.service.segment(request.session_hash):
            progress(step.done / step.total, desc=step.stage)
            value = pack_preview(value, step, folder=study.served)
            yield {self.viewer: value}

    @speaking
    def score(self, request: gr.Request):
        study = self.service.score(request.session_hash)
        return {self.headline: headline(study)}

    def leave(self, request: gr.Request):
        """Frees what a visitor had open."""
        self.service.studies.close(request.session_hash)


def main() -> None:
    """Serves the page until the process is told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Scratch() as scratch:
        os.environ["GRADIO_TEMP_DIR"] = str(scratch.gradio)
        allow_plotly()
        service = Service(scratch.visitors, scratch.gradio)
        page = Page(service).blocks.queue(default_concurrency_limit=4, max_size=MAX_WAITING)
        page.launch(
            prevent_thread_lock=True,
            theme=theme(),
            css=CSS,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            state_session_capacity=100,
        )
        threading.Thread(target=sweep, args=(scratch, service), daemon=True).start()
        page.block_thread()


def sweep(scratch: Scratch, service: Service) -> None:
    """Keeps memory and disk from filling up, as long as the process lives."""
    while True:
        time.sleep(SWEEP_PAUSE_S)
        service.studies.sweep()
        scratch.sweep(MAX_AGE_S, keep=service.studies.folders())


if __name__ == "__main__":
    main()
