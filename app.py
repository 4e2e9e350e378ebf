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

# Before Gradio is imported: it reads both, and ends in a traceback where the port is none.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["LIVERSEG_PORT"] = os.environ.pop("GRADIO_SERVER_PORT", "7860")

import gradio as gr

from liverseg.errors import CannotStart, Refusal
from liverseg.page.events import answering, answering_program
from liverseg.page.handlers import Handlers
from liverseg.page.routes import script_address
from liverseg.page.server import Server, log_discreetly
from liverseg.page.service import Service
from liverseg.page.synthetic_case import LAST
from liverseg.page.temp_folder import TempFolder
from liverseg.page.viewer.component import LiverViewer
from liverseg.page.visitors import MAX_AGE_S, SHARED_LIMIT
from liverseg.page.widgets import (
    CSS,
    component,
    plotly_figure,
    theme,
    upload_box,
)
from liverseg.page.widgets.fields import Options, ServedFile, handles
from liverseg.reading.limits import LIMITS
from liverseg.scores.results import about
from liverseg.sentences import say

TITLE = "liverseg"
BANNER = f"<p><strong>{TITLE}</strong> <span>{say('label.warning')}</span></p>"
SWEEP_PAUSE_S = 5
HOST = "127.0.0.1"
# Events and threads that follow the work; how much is done at once is bounded by the service.
MOST_EVENTS = 600

# The panel is a sidebar of Gradio's, which a click on its button opens.
OPEN_PANEL = """() => {
  const panel = document.querySelector("#panel");
  if (!panel.classList.contains("open")) panel.querySelector(".toggle-button").click();
}"""

log = logging.getLogger(TITLE)


class Page:
    """The widgets, and which event calls which handler; the service does the work."""

    def __init__(self, service: Service):
        self.service, self.handlers = service, Handlers(service)
        self._rules = say("page.rules", limits=LIMITS.sentence, shared=SHARED_LIMIT)
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as self.blocks:
            self.visitor = component("visitor", elem_id="visitor")
            self._place_panel()
            self._place_reading_room()
            self._connect()
            self._offer_api()

    def _place_panel(self) -> None:
        with gr.Sidebar(width=330, elem_id="panel") as self.panel:
            gr.Markdown(say("page.introduction"))
            hint = f"{say('page.scan_hint')} <strong>{say('page.scan_warning')}</strong>"
            self.scan = upload_box(say("label.scan"), hint, elem_id="scan")
            self.choice = Options(visible=False, elem_id="choice")
            hint = f"{say('page.truth_hint')} {say('page.truth_may_be_known')}"
            self.truth = upload_box(say("label.truth"), hint, elem_id="truth")
            with gr.Row(elem_id="clear"):
                small: dict[str, Any] = {"size": "sm", "min_width": 80, "visible": False}
                self.clear_scan = gr.Button(say("label.clear_scan"), elem_id="clear-scan", **small)
                self.clear_truth = gr.Button(
                    say("label.clear_truth"), elem_id="clear-truth", **small
                )
            self.no_tumors = gr.Checkbox(
                False, label=say("label.no_tumors"), visible=False, elem_id="no-tumors"
            )
            self.segment = gr.Button(
                say("label.segment"), variant="primary", interactive=False, elem_id="segment"
            )
            with gr.Row(elem_id="example"):
                self.example = gr.Button(say("label.synthetic"), scale=3, elem_id="synthetic")
                self.seed = gr.Number(
                    0,
                    label=say("label.seed"),
                    show_label=False,
                    precision=0,
                    minimum=0,
                    maximum=LAST,
                    scale=1,
                    min_width=64,
                    container=False,
                    elem_id="seed",
                )
            with gr.Accordion(say("label.rules"), open=False):
                gr.Markdown(self._rules, elem_id="limits")

    def _place_reading_room(self) -> None:
        with gr.Row(elem_id="bar"):
            gr.HTML(BANNER, elem_id="banner")
            self.status = component("progress", elem_id="status")
            self.cancel = gr.Button(
                say("label.cancel"), size="sm", visible="hidden", elem_id="cancel"
            )
            self.another = gr.Button(say("label.another"), size="sm", elem_id="another")
        self.viewer = LiverViewer(scripts=script_address(""), elem_id="viewer")
        self.notices = component("notices", elem_id="notices")
        with gr.Tabs(elem_id="results"):
            # all are on the page from the start: Gradio loses what comes for those that are not
            with gr.Tab(say("label.tab_numbers"), render_children=True):
                self.numbers = component("number_table", elem_id="numbers")
            with gr.Tab(say("label.tab_curves"), render_children=True):
                self.curves = plotly_figure(say("page.curves_hint"), linked=True, elem_id="curves")
            with gr.Tab(say("label.tab_surfaces"), render_children=True):
                self.surfaces = plotly_figure(say("page.surfaces_hint"), elem_id="surfaces")
            with gr.Tab(say("label.tab_files"), render_children=True):
                self.files = component("downloads", elem_id="files")
            with gr.Tab(say("label.tab_about")):
                about_it = say("page.about", measured=about(), rules=self._rules)
                gr.Markdown(about_it, elem_id="about")

    def _connect(self) -> None:
        do, on = self.handlers, self._on
        on(self.visitor.arrive, do.arrive)
        on(self.scan.upload, do.open_scan, self.scan)
        on(self.truth.upload, do.open_truth, self.truth)
        on(self.clear_scan.click, do.clear_scan)
        on(self.clear_truth.click, do.clear_truth)
        on(self.no_tumors.input, do.count_false, self.no_tumors)
        on(self.choice.input, do.answer, self.choice)
        on(self.example.click, do.open_synthetic, self.seed)
        on(self.viewer.open_case, do.open_case)
        for start in (self.segment.click, self.viewer.segment):
            on(start, do.run)
        on(self.cancel.click, do.cancel)
        on(self.surfaces.wanted, do.draw_surfaces)
        on(self.files.make, do.make_file)
        self.another.click(None, None, None, js=OPEN_PANEL)

    def _on(self, event: Callable, handler: Callable, *inputs: gr.components.Component) -> None:
        """Lets a handler answer an event of the page; any widget may change.

        A new event takes the place of one of its kind that is still being answered.
        """
        event(
            answering(self.handlers, handler, vars(self)),
            [self.visitor, *inputs],
            self._widgets,
            concurrency_limit=None,
            api_visibility="private",
            show_progress_on=[self.status],
            trigger_mode="multiple",
        )

    @property
    def _widgets(self) -> list[Any]:
        """All that a handler may change."""
        panel = [self.panel, self.scan, self.choice, self.truth, self.no_tumors, self.segment]
        panel += [self.clear_scan, self.clear_truth]
        bar = [self.status, self.cancel]
        results = [self.notices, self.numbers, self.curves, self.surfaces, self.files]
        return [*panel, *bar, self.viewer, *results]

    def _offer_api(self) -> None:
        """The same work for programs: `Client(url).predict(..., api_name="/segment")`."""
        scan, truth = handles("scan"), handles("truth")
        choose = gr.Textbox(None, label="choose", visible=False)
        self.report = gr.JSON(label="report", visible=False)
        self.labels = ServedFile(label="segmentation", visible=False)
        gr.Button(visible=False).click(
            answering_program(self.handlers, self.handlers.analyze, vars(self)),
            [scan, truth, choose],
            [self.report, self.labels],
            api_name="segment",
            concurrency_limit=None,
        )


def serve(folder: TempFolder, host: str, port: int) -> tuple[Page, Server]:
    """Serves the page from threads of its own; a page for tests and `main`.

    Args:
        folder: where everything goes that touches the disk.
        host, port: where to listen.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder.gradio)
    page = Page(Service(folder.reading, folder.served, folder.arrived))
    page.blocks.max_threads = MOST_EVENTS
    page.blocks.queue(max_size=MOST_EVENTS)
    server = Server(page.blocks, page.service, host, port, theme=theme(), css=CSS)
    server.start()
    return page, server


def main() -> None:
    """Serves the page until the process is told to stop."""
    terminal = log_discreetly(TITLE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        host, port = where_to_listen()
        with TempFolder() as folder:
            page, server = serve(folder, host, port)
            try:
                page.service.start()
                print(say("page.running", url=server.url), file=terminal)
                threading.Thread(target=sweep, args=(folder, page.service), daemon=True).start()
                server.wait()
            finally:
                server.close()
                page.service.close()
    except Refusal as refusal:
        print(refusal, file=terminal)
        sys.exit(1)


def where_to_listen() -> tuple[str, int]:
    """Host and port as Gradio's variables name them."""
    port = os.environ["LIVERSEG_PORT"]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise CannotStart(say("page.no_port", port=port))
    return os.environ.get("GRADIO_SERVER_NAME", HOST), int(port)


def sweep(folder: TempFolder, service: Service) -> None:
    """Keeps memory and disk from filling up, as long as the process lives."""
    while True:
        time.sleep(SWEEP_PAUSE_S)
        try:
            service.sweep()
            folder.sweep(MAX_AGE_S, keep=service.visitors.folders())
        except Exception as error:  # without this thread nothing would be freed any more
            log.error("sweeping failed: %s", type(error).__name__)


if __name__ == "__main__":
    main()
