"""What the page relies on although Gradio does not promise it; fails when the pin moves it."""

from pathlib import Path

import gradio as gr
from gradio.queueing import Event

from liverseg.page.gate import SERVED

SCRIPTS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"


def test_gradio_says_that_it_is_at_work_in_the_words_that_progress_js_reads():
    (script,) = SCRIPTS.glob("statustracker-*.js")
    text = script.read_text(encoding="utf-8")
    for words in ("progress-text", "processing |"):
        assert words in text


def test_an_event_in_the_queue_can_be_counted_as_the_gate_counts_it():
    with gr.Blocks() as blocks:
        gr.Button().click(lambda: None)
    blocks.queue()
    assert blocks._queue.event_ids_to_events == {}
    event = Event("session", blocks.fns[0], "request", None)
    assert (event.session_hash, event.fn, event.request) == ("session", blocks.fns[0], "request")
    assert [one.skip_api for one in blocks.fns[0].inputs] == []


def test_the_places_for_events_can_be_set_before_the_page_is_served():
    with gr.Blocks() as blocks:
        gr.Button().click(lambda: None)
    blocks.max_threads = 7
    blocks.queue()
    assert blocks._queue.max_thread_count == 7


def test_every_address_that_the_page_asks_for_is_let_through():
    for path in ("/", "/config", "/theme.css", "/gradio_api/queue/data", "/files/a/b", "/here/a"):
        assert SERVED["GET"].fullmatch(path)
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/cancel"):
        assert SERVED["POST"].fullmatch(path)
