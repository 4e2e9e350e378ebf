"""What the page relies on although Gradio does not promise it; fails when the pin moves it."""

from pathlib import Path

import gradio as gr

SCRIPTS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"


def test_gradio_says_that_it_is_at_work_in_the_words_that_progress_js_reads():
    (script,) = SCRIPTS.glob("statustracker-*.js")
    text = script.read_text(encoding="utf-8")
    for words in ("progress-text", "processing |"):
        assert words in text
