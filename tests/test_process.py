"""The page as a process: faults at its start and while it runs, and what its log never says."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, exceptions, handle_file

from liverseg.network.weights import load_config
from liverseg.page.visitors import id_of, new_key
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from tests.helpers.attacker import Attacker
from tests.helpers.page_server import (
    ROOT,
    answers,
    files_below,
    free_port,
    served_apart,
    wait_until,
)
from tests.helpers.processes import descendants

pytestmark = pytest.mark.slow

CANARY = "CANARY^JANE"


def started(folder, **environment):
    """Runs `python app.py` to its end; returns its exit status and all it said."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "GRADIO_SERVER_PORT": str(free_port()),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    volume, _ = make_phantom(3, shape=(6, 64, 64))
    return write_dicom(volume, tmp_path_factory.mktemp("scan"))


def test_a_port_in_use_is_said_and_no_other_one_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = started(tmp_path, GRADIO_SERVER_PORT=port)
    assert status == 1
    assert said.strip() == (
        f"Port {port} of 127.0.0.1 is in use by another program, or not this machine's. "
        "Stop that program, or name another port in GRADIO_SERVER_PORT."
    )
    assert list(tmp_path.glob("liverseg-*")) == []


@pytest.mark.parametrize("port", ["none", "-1", "0", "99999999"])
def test_a_port_that_is_none_is_said(tmp_path, port):
    status, said = started(tmp_path, GRADIO_SERVER_PORT=port)
    assert status == 1
    assert "GRADIO_SERVER_PORT" in said and "Traceback" not in said


@pytest.fixture
def weights(tmp_path):
    """A copy of the shipped weights."""
    folder = tmp_path / "weights"
    shutil.copytree(load_config().folder, folder)
    return folder


@pytest.mark.parametrize("trouble", ["missing", "cut", "changed", "without config"])
def test_weights_that_do_not_work_are_said_at_the_start(tmp_path, weights, trouble):
    files = [path for path in weights.iterdir() if path.suffix in (".h5", ".onnx")]
    for path in files:
        if trouble == "missing":
            path.unlink()
        elif trouble == "cut":
            path.write_bytes(path.read_bytes()[:1000])
        elif trouble == "changed":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
    if trouble == "without config":
        (weights / "config.json").unlink()
    status, said = started(tmp_path, LIVERSEG_WEIGHTS=str(weights))
    assert status == 1
    assert "weights" in said and "Download" in said.replace("download", "Download")
    assert "Traceback" not in said


def test_a_temporary_folder_that_cannot_be_written_is_said(tmp_path):
    status, said = started("/proc")
    assert status == 1
    assert "TMPDIR" in said and "Traceback" not in said


def test_who_is_stopped_at_once_stops_without_a_word(tmp_path):
    for _ in range(3):
        with served_apart(tmp_path) as served:
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(30) == 0
        assert "ERROR" not in served.log.read_text()


def test_after_sigterm_and_sigkill_the_next_start_is_clean(tmp_path, slices):
    for end in (signal.SIGTERM, signal.SIGKILL):
        with served_apart(tmp_path) as served:
            attacker, key = Attacker(served), new_key()
            attacker.upload(b"never read", owner=id_of(key))
            attacker.join("open_synthetic", key, 3)  # a run is under way
            served.process.send_signal(end)
            served.process.wait(30)
            wait_until(lambda: not readers_in(tmp_path), 10)
        left = list(tmp_path.glob("liverseg-*"))
        assert bool(left) == (end == signal.SIGKILL)
    with served_apart(tmp_path) as served:
        assert answers(served.url)
        (folder,) = tmp_path.glob("liverseg-*")
        assert folder not in left
        assert files_below(folder) == []


def readers_in(folder):
    """Processes with a folder as their temporary one."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"TMPDIR={folder}".encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
    return found


def test_a_reader_that_is_killed_is_said_and_the_next_upload_works(tmp_path, slices):
    with served_apart(tmp_path) as served:
        client = Client(served.url, verbose=False)
        for child in descendants(served.process.pid):
            os.kill(child, signal.SIGKILL)
        files = [handle_file(path) for path in slices]
        report, _ = client.predict(files, None, None, api_name="/segment")
        assert report["measurements"]


def test_few_open_files_are_enough(tmp_path, slices):
    with served_apart(tmp_path, prefix=("prlimit", "--nofile=64")) as served:
        client = Client(served.url, verbose=False)
        files = [handle_file(path) for path in slices]
        report, _ = client.predict(files, None, None, api_name="/segment")
        assert report["measurements"]


def test_no_log_line_quotes_anything_of_a_visitor(tmp_path, slices):
    named = tmp_path / f"{CANARY}.dcm"
    shutil.copy(slices[0], named)
    with served_apart(tmp_path / "page") as served:
        attacker = Attacker(served, referer=f"https://x/{CANARY}", cookie=f"a={CANARY}")
        client = Client(served.url, verbose=False)
        file = {"path": f"/tmp/{CANARY}", "meta": {"_type": "gradio.FileData"}, "orig_name": CANARY}
        key = new_key()
        for data in ([CANARY], [file], {"a": CANARY}, f"http://127.0.0.1:1/{CANARY}", CANARY, 5):
            for event in ("open_scan", "open_truth", "answer", "open_synthetic"):
                attacker.happened(event, key, data)
            attacker.happened("open_case", key, event_data={"number": CANARY, "size": CANARY})
            attacker.happened("make_file", key, event_data={"kind": CANARY})
            attacker.happened("segment", data, data, CANARY)
        for path in (CANARY, f"gradio_api/file={CANARY}", f"files/{CANARY}", f"here/{CANARY}"):
            attacker.http.get(path)
        attacker.http.post("gradio_api/upload", content=CANARY.encode())
        attacker.http.post("gradio_api/queue/join", content=json.dumps({"fn_index": CANARY}))
        handle = attacker.upload(b"damaged" + CANARY.encode(), f"{CANARY}.nii", id_of(key))
        attacker.happened("open_scan", key, {"handles": [handle], "names": [CANARY]})
        with pytest.raises(exceptions.AppError):
            client.predict([handle_file(named)], None, CANARY, api_name="/segment")
        (scratch,) = (tmp_path / "page").glob("liverseg-*")
        shutil.rmtree(scratch)  # so that everything fails in unforeseen ways
        attacker.http.post("gradio_api/upload", files={"files": (CANARY, b"x")})
        attacker.happened("open_synthetic", key, 1)
        log = served.log.read_text()
    assert httpx.URL(served.url).port and log
    assert CANARY not in log and "Traceback" not in log and str(tmp_path) not in log


def test_a_folder_that_was_removed_does_not_break_the_next_upload(tmp_path, slices):
    with served_apart(tmp_path) as served:
        (scratch,) = tmp_path.glob("liverseg-*")
        shutil.rmtree(scratch)
        client = Client(served.url, verbose=False)
        files = [handle_file(path) for path in slices]
        report, _ = client.predict(files, None, None, api_name="/segment")
        assert report["measurements"]
