"""The page: what is on it, and which event calls what; the work is done by liverseg.

python app.py        http://127.0.0.1:7860, or where GRADIO_SERVER_NAME and _PORT say
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported

import gradio as gr

from liverseg.page.events import answering
from liverseg.page.handlers import Handlers
from liverseg.page.service import Service
from liverseg.page.synthetic_case import LAST
from liverseg.page.temp_folder import TempFolder
from liverseg.page.texts import (
    ABOUT,
    BANNER,
    CURVES_HINT,
    HOUSE_RULES,
    INTRODUCTION,
    NOT_READ,
    SCAN_HINT,
    SURFACES_HINT,
    TITLE,
    TRUTH_HINT,
)
from liverseg.page.uploads import refused
from liverseg.page.viewer.component import LiverViewer
from liverseg.page.visitors import MAX_AGE_S
from liverseg.page.widgets import (
    CSS,
    component,
    plotly_figure,
    prepare_gradio,
    theme,
    upload_box,
)
from liverseg.reading.limits import LIMITS
from liverseg.scores.results import about

SWEEP_PAUSE_S = 5
MAX_WAITING = 40  # events in the queue; a class of thirty fits in

log = logging.getLogger(TITLE)


class Page:
    """The widgets, and which event calls which handler; the service does the work."""

    def __init__(self, service: Service):
        self.service, self.handlers = service, Handlers(service)
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as self.blocks:
            self._place_panel()
            self._place_reading_room()
            self._connect()
            self.blocks.unload(self._answer(self.handlers.leave))

    def _place_panel(self) -> None:
        with gr.Sidebar(width=330, elem_id="panel") as self.panel:
            gr.Markdown(INTRODUCTION)
            self.scan = upload_box("CT scan", SCAN_HINT, elem_id="scan")
            self.series = gr.Radio(label="Which scan?", visible=False, elem_id="series")
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
            with gr.Tab("By slice"):
                self.curves = plotly_figure(CURVES_HINT, linked=True, elem_id="curves")
            with gr.Tab("In 3-D"):
                self.surfaces = plotly_figure(SURFACES_HINT, elem_id="surfaces")
            with gr.Tab("Downloads"):
                self.files = component("downloads", elem_id="files")
            with gr.Tab("About"):
                gr.Markdown(f"**How good it is.** {about()}\n{ABOUT}", elem_id="about")

    def _connect(self) -> None:
        do, answer = self.handlers, self._answer
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        reading, model = _limited("reading", 2), _limited("model", 1)
        status: dict[str, Any] = {"show_progress_on": [self.status]}
        results = [self.viewer, self.notices, self.numbers, self.curves]
        results += [self.surfaces, self.files]
        panel = [self.scan, self.series, self.truth, self.segment]
        everything = [*results, *panel]

        for box, read in ((self.scan, do.open_scan), (self.truth, do.open_truth)):
            given = box.upload(answer(read), box, everything, **reading, **status)
            given.failure(lambda: refused(NOT_READ), None, box, queue=False, **quiet)
        self.series.input(answer(do.open_series), self.series, everything, **reading, **status)
        asked = [*everything, self.status, self.panel]
        open_synthetic = answer(do.open_synthetic)
        example = self.example.click(open_synthetic, self.seed, asked, **reading, **status)
        self.viewer.open_case(answer(do.open_case), None, asked, **reading, **status)
        busy = [self.panel, self.segment, self.cancel]
        rest = [self.segment, self.cancel, self.viewer, self.status]
        runs = []
        for start in (self.segment.click, self.viewer.segment, example.success):
            begun = start(answer(do.begin), None, busy, queue=False, **quiet)
            run = begun.success(answer(do.run), None, [*results, *rest], **model, **status)
            run.failure(answer(do.rest), None, rest, queue=False, **quiet)
            scored = run.success(answer(do.score), None, results, **reading, **status)
            scored.success(answer(do.score_surfaces), None, results, **reading, **status)
            runs.append(run)
        self.cancel.click(answer(do.rest), None, rest, cancels=runs, queue=False, **quiet)
        self.another.click(lambda: gr.Sidebar(open=True), None, self.panel, queue=False, **quiet)
        self.surfaces.wanted(answer(do.draw_surfaces), None, self.surfaces, **reading, **status)
        self.files.make(answer(do.make_file), None, self.files, **reading, **status)
        self._offer_api(model)

    def _offer_api(self, model: dict) -> None:
        """The same work for programs: `Client(url).predict(..., api_name="/segment")`."""
        scan = gr.File(label="scan", file_count="multiple", visible=False)
        truth = gr.File(label="truth", file_count="multiple", visible=False)
        series = gr.Number(None, label="series", precision=0, visible=False)
        report = gr.JSON(label="report", visible=False)
        labels = gr.File(label="segmentation", visible=False)
        gr.Button(visible=False).click(
            self._answer(self.handlers.analyze),
            [scan, truth, series],
            [report, labels],
            api_name="segment",
            **{**model, "api_visibility": "public"},
        )

    def _answer(self, handler: Callable) -> Callable:
        return answering(handler, vars(self))


def _limited(work: str, at_once: int) -> dict[str, Any]:
    """Settings of events of one kind of work, of which so many run at once."""
    return {"concurrency_limit": at_once, "concurrency_id": work, "api_visibility": "private"}


def serve(folder: TempFolder, **settings: Any) -> Page:
    """Serves the page from threads of its own; a page for tests and `main`.

    Args:
        folder: where everything goes that touches the disk.
        settings: of `gr.Blocks.launch`.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder.gradio)
    prepare_gradio()
    page = Page(Service(folder.visitors, folder.gradio))
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
    with TempFolder() as folder:
        page = serve(folder)
        threading.Thread(target=sweep, args=(folder, page.service), daemon=True).start()
        page.blocks.block_thread()


def sweep(folder: TempFolder, service: Service) -> None:
    """Keeps memory and disk from filling up, as long as the process lives."""
    while True:
        time.sleep(SWEEP_PAUSE_S)
        try:
            service.studies.sweep()
            folder.sweep(MAX_AGE_S, keep=service.studies.folders())
        except Exception as error:  # without this thread nothing would be freed any more
            log.error("sweeping failed: %s", type(error).__name__)


if __name__ == "__main__":
    main()
