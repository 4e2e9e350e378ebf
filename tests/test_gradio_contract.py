"""What the page relies on although Gradio does not promise it; fails when the pin moves it."""

from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio import route_utils

from liverseg.page.widgets import prepare_gradio

SCRIPTS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"


def test_gradio_tells_the_place_in_its_queue_in_the_words_that_progress_js_reads():
    (script,) = SCRIPTS.glob("statustracker-*.js")
    text = script.read_text(encoding="utf-8")
    for words in ("progress-text", "queue: ${", "processing |"):
        assert words in text


@pytest.fixture
def upload(monkeypatch, tmp_path):
    """Sends bytes to Gradio's upload address; returns where they were put."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    ours = route_utils.GradioUploadFile  # where a test before this one has built a page
    (gradios,) = [kind for kind in ours.mro() if kind.__module__ == route_utils.__name__]
    monkeypatch.setattr(route_utils, "GradioUploadFile", gradios)
    with gr.Blocks() as blocks:
        gr.HTML()
    client = TestClient(gr.mount_gradio_app(FastAPI(), blocks, path="/page"))

    def send(content: bytes) -> str:
        answer = client.post("/page/gradio_api/upload", files={"files": ("scan.zip", content)})
        (path,) = answer.raise_for_status().json()
        return path

    return send


def test_gradio_alone_lets_equal_uploads_share_a_file(upload):
    assert upload(b"a scan") == upload(b"a scan")


def test_here_each_upload_has_a_folder_of_its_own(upload):
    prepare_gradio()
    paths = {upload(b"a scan"), upload(b"a scan")}
    assert len(paths) == 2
    assert all(Path(path).read_bytes() == b"a scan" for path in paths)
