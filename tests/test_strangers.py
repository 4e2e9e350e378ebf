"""What a stranger who speaks HTTP tries against a page that serves others meanwhile."""

import errno
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import httpx
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client, handle_file
from starlette.routing import Mount, Route

from liverseg.page import events
from liverseg.page.gate import MOST_BODY_BYTES, SERVED, Trust
from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.visitors import id_of, new_key
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from tests.helpers.attacker import Attacker
from tests.helpers.page_server import files_below, served_here, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with served_here(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(autouse=True)
def forgiven(served):
    """What the test before sent from this address does not count."""
    served.service.manners._refused.clear()


@pytest.fixture
def attacker(served):
    return Attacker(served)


@pytest.fixture
def small_cases(monkeypatch):
    """Synthetic cases that cost nothing."""
    small = make_phantom(3, shape=(4, 64, 64))
    monkeypatch.setattr(SyntheticCase, "make", lambda case: small)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    volume, _ = make_phantom(3, shape=(6, 64, 64))
    return write_dicom(volume, tmp_path_factory.mktemp("scan"))


@pytest.fixture
def victim(served, small_cases):
    """A visitor with an open scan and an upload that waits; everything is there at the end."""
    key, attacker = new_key(), Attacker(served)
    attacker.happened("open_synthetic", key, 3)
    handle = attacker.upload(b"a file of the victim", owner=id_of(key))
    before = {path: path.read_bytes() for path in files_below(served.scratch)}
    study = served.service.visitors.of(key)
    assert len(before) > 3 and study.scan is not None
    yield key, handle
    assert {path: path.read_bytes() for path in before if path.exists()} == before
    assert served.service.visitors.of(key).scan is study.scan
    assert handle in served.service.uploads._waiting
    served.service.visitors.close(key)
    served.service.uploads._forget([handle])


# Destroy and displace


def paths_of_the_server(served):
    scratch, service = served.scratch, served.service
    yield from (str(path) for path in (scratch, service.served, scratch / "arrived", "/", "app.py"))
    yield from ("weights/config.json", "/etc/passwd", "../app.py", "", ".", "http://127.0.0.1:1/x")
    yield from (str(path) for path in files_below(scratch))


@pytest.mark.parametrize("event", ["open_scan", "open_truth"])
def test_a_path_is_not_an_upload(served, attacker, victim, event):
    for path in paths_of_the_server(served):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": path, "url": path}
        for upload in ({"handles": [path]}, {"handles": [file]}, {"files": [file], "names": ["x"]}):
            said = attacker.happened(event, new_key(), upload)
            assert "not here any more" in said or "holds no files" in said or "No masks" in said


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "../app.py", "http://127.0.0.1:1/x"])
def test_a_program_cannot_name_a_file_of_the_server(attacker, victim, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "url": path}
    for scan in ([file], file, [[file]], path, [path], {"value": file}):
        said = attacker.happened("segment", scan, None, None)
        assert '"success":false' in said.replace(" ", "")
        assert "passwd" not in said and "Traceback" not in said


def test_the_upload_of_another_is_refused_even_with_its_handle(attacker, victim):
    _, handle = victim
    assert "not here any more" in attacker.happened("open_scan", new_key(), {"handles": [handle]})


def test_two_hundred_cheap_events_of_strangers_keep_nothing(served, attacker, victim):
    service = served.service
    before = len(service.visitors)
    with mock.patch.object(SessionState, "__init__", autospec=True) as gradio_keeps_a_session:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: attacker.happened("cancel", new_key()), range(250)))
        assert not gradio_keeps_a_session.called
    assert len(service.visitors) == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.visitors, "_grace_s", -1)
        with service.visitors.stream(id_of(victim[0])):
            service.sweep()
    assert set(service.visitors._known) == {victim[0]}


def test_what_is_sent_beside_the_queue_is_not_there(attacker, victim):
    for path in (
        "run/cancel",
        "api/cancel",
        "run/open_synthetic",
        "call/segment",
        "call/v2/segment",
    ):
        answer = attacker.http.post(f"gradio_api/{path}", json={"data": [new_key(), 1]})
        assert answer.status_code == 404


def test_sixty_events_of_one_session_do_not_fill_the_queue(served, attacker, victim, monkeypatch):
    lane = served.service.making
    with lane.turn() as one, lane.turn() as two:  # nothing goes on
        one.wait()
        two.wait()
        key = new_key()
        answers = [attacker.join("open_synthetic", key, 1, session="greedy") for _ in range(60)]
        assert {answer.status_code for answer in answers} <= {200, 429}
        wait_until(lambda: len(lane._waiting) == 1, 10)  # each takes the place of the last
        for one in (new_key(), key):
            said = attacker.happened("cancel", one).replace(" ", "")
            assert '"success":true' in said and '"success":false' not in said


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"not json",
        b"[" * 100_000,
        b'{"fn_index": 1, "session_hash": "x", "data": [' + b"[" * 900 + b"]" * 900 + b"]}",
        json.dumps({"fn_index": 10**6, "data": [], "session_hash": "x"}).encode(),
        json.dumps({"fn_index": {}, "data": [], "session_hash": "x"}).encode(),
        json.dumps({"fn_index": 1, "data": "none", "session_hash": "x"}).encode(),
        json.dumps({"fn_index": 1, "data": [None] * 50, "session_hash": "x"}).encode(),
    ],
)
def test_an_event_that_is_none_is_refused_in_words(attacker, body):
    answer = attacker.http.post("gradio_api/queue/join", content=body)
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "This request was not understood."},
    )


def test_an_event_that_is_too_large_is_refused(attacker):
    body = json.dumps({"data": ["x" * MOST_BODY_BYTES]})
    assert attacker.http.post("gradio_api/queue/join", content=body).status_code == 413


def test_more_than_two_events_of_a_kind_are_refused_at_once_in_words(served, attacker, monkeypatch):
    """Of a program, whose calls do not take each other's place."""
    may_end = threading.Event()
    scan = [attacker.upload(b"no scan") for _ in range(3)]
    monkeypatch.setattr(served.service, "open_scan", lambda *_: may_end.wait(60))
    answers = [attacker.join("segment", [one], None, None, session="many") for one in scan]
    may_end.set()
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "being done already" in answers[-1].json()["detail"]


def test_a_call_whose_answer_nobody_takes_is_ended(served, attacker, slices, monkeypatch):
    monkeypatch.setattr(events, "GRACE_S", 6)  # longer than reading takes on a busy machine
    lane = served.service.segmenting
    with lane.turn() as mine:  # nothing goes on
        mine.wait()
        handles = [attacker.upload(path.read_bytes()) for path in slices]
        attacker.join("segment", handles, None, None)
        wait_until(lambda: lane._waiting, 60)
        wait_until(lambda: not lane._waiting, 60)
        client = Client(served.url, verbose=False)
        files = [handle_file(path) for path in slices]
        taken = client.submit(files, None, None, api_name="/segment")
        wait_until(lambda: lane._waiting, 60)
        time.sleep(9)
        assert lane._waiting
    report, _ = taken.result()
    assert report["measurements"]


# From any web site

FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://[::1"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["upload", "queue/join", "cancel"])
def test_another_web_site_changes_nothing(served, headers, path):
    answer = httpx.post(f"{served.url}gradio_api/{path}", headers=headers, files={"files": b"x"})
    assert answer.status_code == 403
    assert "another web site" in answer.json()["detail"]
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_web_site_may_not_read_answers(served, headers):
    for path in ("", "config", "gradio_api/info"):
        answer = httpx.get(served.url + path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    asks = {**headers, "access-control-request-method": "POST"}
    assert httpx.options(f"{served.url}gradio_api/upload", headers=asks).status_code == 404


def test_the_page_itself_and_programs_pass(served):
    own = served.url.rstrip("/")
    for headers in ({}, {"origin": own}, {"origin": own, "sec-fetch-site": "same-origin"}):
        files = {"files": ("a", b"scan")}
        answer = httpx.post(f"{own}/gradio_api/upload", headers=headers, files=files)
        assert answer.status_code == 200
        (handle,) = answer.json()
        assert re.fullmatch("[0-9a-f]{64}", handle)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "", "[::1"]
)
def test_the_page_does_not_answer_under_a_strange_name(served, host):
    answer = httpx.get(served.url, headers={"host": host})
    assert answer.status_code == 421
    assert "LIVERSEG_HOSTS" in answer.json()["detail"]


def test_headers_of_proxies_count_only_from_proxies_that_a_setting_names(served):
    headers = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
    config = httpx.get(f"{served.url}config", headers=headers)
    assert config.status_code == 200 and "evil.example" not in config.text


def test_settings_name_hosts_and_proxies(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("LIVERSEG_HOSTS", "ct.example, teaching.example")
    monkeypatch.setenv("LIVERSEG_PROXIES", "10.0.0.0/8,192.168.1.7")
    trust = Trust.of_environment()
    for host in ("ct.example", "CT.example:80", "teaching.example", "localhost:7860", "[::1]:1"):
        assert trust.is_host(host)
    assert not trust.is_host("other.example")
    assert trust.is_proxy("10.2.3.4") and trust.is_proxy("192.168.1.7")
    assert not trust.is_proxy("192.168.1.8") and not trust.is_proxy("") and not trust.is_proxy("x")


def test_a_space_works_without_settings(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "Someone/liverseg")
    trust = Trust.of_environment()
    assert trust.is_host("someone-liverseg.hf.space")
    assert not trust.is_host("other-liverseg.hf.space")
    assert trust.is_proxy("10.20.30.40")


def test_every_answer_says_what_browsers_may_do_with_it(served):
    for path in ("", "config", "nothing", "gradio_api/info", "files/x/y"):
        headers = httpx.get(served.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self' https://huggingface.co" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


def test_no_answer_names_a_place_on_the_server(served, attacker, slices):
    client = Client(served.url, verbose=False)
    job = client.submit([handle_file(path) for path in slices], None, None, api_name="/segment")
    report, _ = job.result()
    said = [str(report), attacker.upload(b"x")]
    said += [attacker.http.get(path).text for path in ("", "config", "gradio_api/info", "files/x")]
    said += [attacker.happened("segment", ["/etc/passwd"], None, None)]
    key = new_key()
    said += [attacker.happened("open_synthetic", key, 3), attacker.happened("arrive", key)]
    for text in said:
        assert str(served.scratch) not in text and "site-packages" not in text
        assert "/work" not in text and "/tmp" not in text


# Other routes


def routes_of(app, prefix=""):
    """Every path and method that an application answers, with a word for each parameter."""
    for route in app.routes:
        if hasattr(route, "original_router"):  # FastAPI's way to hold a router in another
            yield from routes_of(route.original_router, prefix)
            continue
        path = prefix + re.sub(r"\{[^}]*\}", "word", route.path)
        if isinstance(route, Mount):
            yield from routes_of(route.app, path.rstrip("/"))
        elif isinstance(route, Route) or hasattr(route, "methods"):
            yield from ((method, path) for method in route.methods)
        else:
            yield "GET", path


def test_of_all_routes_of_gradio_only_those_on_the_list_are_served(served):
    found = set(routes_of(served.page.blocks.app))
    served_paths = {path for method, path in found if _is_listed(method, path)}
    assert len(found) > 60
    assert served_paths == {
        "/",
        "/assets/word",
        "/config",
        "/favicon.ico",
        "/gradio_api/app_id",
        "/gradio_api/cancel",
        "/gradio_api/file=word",
        "/gradio_api/info",
        "/gradio_api/queue/data",
        "/gradio_api/queue/join",
        "/gradio_api/upload",
        "/static/word",
        "/theme.css",
    }
    for method, path in sorted(found):
        if not _is_listed(method, path):
            answer = httpx.request(method, served.url.rstrip("/") + path)
            assert answer.status_code == 404, (method, path)


def _is_listed(method, path):
    return method in SERVED and bool(SERVED[method].fullmatch(path))


def test_what_is_posted_to_gradio_elsewhere_leaves_nothing_on_the_disk(served):
    before = files_below(served.scratch)
    files = {"file": ("canary", b"x" * 1000), "config": (None, "{}")}
    assert httpx.post(f"{served.url}gradio_api/process_recording", files=files).status_code == 404
    assert files_below(served.scratch) == before


# What is served


def test_what_is_served_is_gone_with_its_study_and_kept_by_nobody(served, attacker, small_cases):
    key = new_key()
    attacker.happened("open_synthetic", key, 3)
    study = served.service.visitors.of(key)
    places = [f"files/{study.served.name}/{path.name}" for path in study.served.iterdir()]
    assert len(places) > 2
    for place in places:
        answer = attacker.http.get(place, headers={"range": "bytes=0-evil"})
        assert answer.status_code == 200 and "evil" not in str(answer.headers)
        assert answer.headers["cache-control"] == "no-store"
    assert attacker.http.get(f"files/{study.served.name}/").status_code == 404
    served.service.visitors.close(key)
    assert {attacker.http.get(place).status_code for place in places} == {404}


def test_reading_holds_no_place_of_the_networks(served, slices, monkeypatch):
    """A program whose upload takes long to read, and another whose scan is read."""
    service, readers = served.service, served.service.readers
    read, slow = readers.read_scan, []

    def read_scan(paths, answers=(), *, wanted):
        if any(path.name == "slow" for path in paths):
            slow.append(True)
            wait_until(lambda: not slow, 60)
        return read(paths, answers, wanted=wanted)

    monkeypatch.setattr(readers, "read_scan", read_scan)
    late = slices[0].parent / "slow"
    late.write_bytes(slices[0].read_bytes())
    client = Client(served.url, verbose=False)
    waiting = client.submit([handle_file(late)], None, None, api_name="/segment")
    wait_until(lambda: slow, 60)
    report, _ = client.predict([handle_file(p) for p in slices], None, None, api_name="/segment")
    assert report["measurements"] and not waiting.done()
    slow.clear()
    waiting.result()
    late.unlink()
    assert not service.segmenting._waiting


def test_a_full_disk_is_said(served, attacker, small_cases, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device: /tmp/canary")

    key = new_key()
    handle = attacker.upload(b"scan", owner=id_of(key))
    monkeypatch.setattr(served.service, "open_scan", full)
    said = attacker.happened("open_scan", key, {"handles": [handle]})
    assert "disk of this server is full" in said and "canary" not in said
    monkeypatch.setattr("liverseg.page.handlers.pack_scan_steps", full)
    said = attacker.happened("open_synthetic", key, 1)
    assert "disk of this server is full" in said and "canary" not in said
