"""The page, served for a test: in this process, where its insides can be seen, or in its own."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import httpx

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    """A page that runs.

    Attributes:
        url: of it.
        scratch: the folder that holds all it leaves on the disk.
        page, service: its widgets and what is behind them; only in this process.
        process, log: only in a process of its own.
    """

    url: str
    scratch: Path
    page: object = None
    service: object = None
    process: subprocess.Popen | None = None
    log: Path | None = None


@contextmanager
def served_here(folder: Path):
    """Serves the page from threads of this process."""
    sys.path.insert(0, str(ROOT))
    import app
    from liverseg.page.temp_folder import TempFolder

    with mock.patch.dict(os.environ), TempFolder(folder) as scratch:
        page, server = app.serve(scratch, "127.0.0.1", free_port())
        try:
            yield Served(server.url, scratch.folder, page, page.service)
        finally:
            server.close()
            page.service.close()


@contextmanager
def served_blocks(blocks, folder: Path):
    """Serves other widgets as the page is served, with the files below a folder; yields the URL."""
    from liverseg.page.server import Server
    from liverseg.page.service import Service

    blocks.queue()
    server = Server(blocks, Service(folder, folder, folder), "127.0.0.1", free_port())
    server.start()
    try:
        yield server.url
    finally:
        server.close()


@contextmanager
def served_apart(
    folder: Path, port: int | None = None, prefix: tuple[str, ...] = (), **environment: str
):
    """Runs `python app.py` as on a Space, with `folder` as the system's temporary folder.

    Args:
        folder: made where it is missing.
        port: to listen at; a free one by default.
        prefix: of the command.
        environment: more variables.
    """
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    log = folder / "log.txt"
    environment = {
        **os.environ,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "TMPDIR": str(folder),
        **environment,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "app.py"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    served = Served(f"http://127.0.0.1:{port}/", folder, process=process, log=log)
    try:
        wait_until(lambda: process.poll() is not None or answers(served.url), 180)
        assert process.poll() is None, log.read_text()
        yield served
    finally:
        process.terminate()
        process.wait(30)


def slow_down(engine, monkeypatch, seconds: float) -> list:
    """Makes each batch of the networks take longer; returns where their slices are noted."""
    slices = []

    def slow(network, batch, predict=engine.predict):
        slices.extend(batch)
        time.sleep(seconds)
        return predict(network, batch)

    monkeypatch.setattr(engine, "predict", slow)
    return slices


def answers(url: str) -> bool:
    """Whether the page is there."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition, seconds: float) -> None:
    """Waits for a condition; AssertionError where it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files_below(folder: Path) -> list[Path]:
    """Everything a page has left on the disk, but its lock; it may go on removing meanwhile."""
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return [path for path in found if path.is_file() and path.name != ".lock"]
