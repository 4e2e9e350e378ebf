"""A tab whose connection breaks, that is reloaded, duplicated or closed: what is kept and freed."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from playwright.sync_api import expect

from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.visitors import id_of
from liverseg.phantom import make_phantom
from tests.helpers.page_server import free_port, served_here, slow_down, wait_until
from tests.test_app_browser import PATIENCE_MS, Visitor, written_case

pytestmark = pytest.mark.slow


class Wire:
    """What lies between a browser and the page: passes everything on until it is cut.

    Args:
        target: port of the page.
    """

    def __init__(self, target: int):
        self.port, self._target = free_port(), target
        self._open: list[socket.socket] = []
        self._listening: socket.socket | None = None
        self._lock = threading.Lock()
        self.mend()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def cut(self) -> None:
        """Ends all connections; new ones are refused until it is mended."""
        with self._lock:
            listening, self._listening = self._listening, None
            open_now, self._open = self._open, []
        for one in filter(None, [listening, *open_now]):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def mend(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while some := source.recv(65536):
                sink.sendall(some)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with served_here(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture
def wire(served):
    wire = Wire(int(served.url.rstrip("/").rpartition(":")[2]))
    yield wire
    wire.cut()


class Behind:
    """The page as it is reached through a wire."""

    def __init__(self, served, wire):
        self.url, self.service = wire.url, served.service


@pytest.fixture
def visitor(chromium, served, wire):
    visitor = Visitor(chromium, Behind(served, wire))
    yield visitor
    visitor.context.close()


@pytest.fixture
def slow_networks(served, monkeypatch):
    """Slices given to the networks, each batch taking half a second longer."""
    return slow_down(served.service.engine, monkeypatch, 0.5)


def case(folder, seed):
    return written_case(folder, seed) / "PATIENT_DICOM.zip"


def key_of(visitor):
    return visitor.page.evaluate("JSON.parse(sessionStorage.getItem('liverseg')).key")


def study_of(served, visitor):
    return served.service.visitors.of(key_of(visitor))


@contextmanager
def nothing_is_lost(served, visitor):
    """The visitor's scan is the same before and after, even if the sweep comes at any moment."""
    scan = study_of(served, visitor).scan
    yield
    served.service.sweep()
    assert study_of(served, visitor).scan is scan


def test_a_cut_of_a_moment_frees_nothing_and_the_next_click_works(visitor, served, wire, tmp_path):
    visitor.open_scan(case(tmp_path, 31))
    with nothing_is_lost(served, visitor):
        wire.cut()
        wire.mend()
        visitor.page.wait_for_timeout(3000)
    visitor.segment()
    expect(visitor.page.locator("#numbers .group").first).to_be_visible(timeout=PATIENCE_MS)


def test_the_result_of_a_run_arrives_after_a_cut_of_some_seconds(
    visitor, served, wire, slow_networks, tmp_path
):
    visitor.open_scan(case(tmp_path, 32))
    visitor.page.click("#segment")
    expect(visitor.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    with nothing_is_lost(served, visitor):
        wire.cut()
        time.sleep(4)
        wire.mend()
        visitor.wait_for_result()
    expect(visitor.page.locator("#cancel")).to_be_hidden(timeout=PATIENCE_MS)
    assert len(slow_networks) < 2.5 * 16  # the work was done once


def test_a_reload_shows_the_scan_and_the_result_again(visitor, served, tmp_path):
    visitor.open_scan(case(tmp_path, 33))
    visitor.segment()
    before = visitor.page.inner_text("#numbers")
    with nothing_is_lost(served, visitor):
        visitor.page.reload()
        visitor.wait_for_result()
    assert visitor.page.inner_text("#numbers") == before
    assert "16 slices" in visitor.page.locator("#scan .status").text_content()


def test_a_reload_during_a_run_shows_it_going_on(visitor, served, slow_networks, tmp_path):
    visitor.open_scan(case(tmp_path, 34))
    visitor.page.click("#segment")
    expect(visitor.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.page.reload()
    expect(visitor.page.locator("#cancel")).to_be_visible(timeout=PATIENCE_MS)
    visitor.wait_for_result()
    assert len(slow_networks) < 2.5 * 16


def test_a_scan_that_is_gone_is_said_so_after_a_reload(visitor, served, tmp_path):
    visitor.open_scan(case(tmp_path, 35))
    served.service.visitors.close(key_of(visitor))
    visitor.page.reload()
    refused = visitor.page.locator("#scan .refused .status")
    expect(refused).to_contain_text("not open here any more", timeout=PATIENCE_MS)
    expect(visitor.page.locator("#segment")).to_be_disabled()
    visitor.open_scan(tmp_path / "PATIENT_DICOM.zip")
    visitor.segment()


def test_a_duplicated_tab_is_a_visitor_of_its_own(visitor, served, wire, tmp_path):
    visitor.open_scan(case(tmp_path, 36))
    storage = visitor.page.evaluate("sessionStorage.getItem('liverseg')")
    other = visitor.context.new_page()
    other.add_init_script(f"sessionStorage.setItem('liverseg', {storage!r})")
    other.goto(wire.url)
    expect(other.locator("#scan .hint")).to_be_visible(timeout=PATIENCE_MS)
    other.wait_for_selector("[data-visitor]", state="attached")
    assert other.get_attribute("[data-visitor]", "data-visitor") != id_of(key_of(visitor))
    expect(other.locator('.lv[data-phase="empty"]')).to_be_visible()


def test_a_closed_tab_frees_its_scan_and_its_unread_uploads(visitor, served, tmp_path, monkeypatch):
    visitor.open_scan(case(tmp_path, 37))
    key = key_of(visitor)
    program = """async () => {
      const form = new FormData();
      form.append("files", new Blob(["never read"]), "x");
      const headers = { "X-Visitor": document.querySelector("[data-visitor]").dataset.visitor };
      await fetch("gradio_api/upload", { method: "POST", body: form, headers });
    }"""
    visitor.page.evaluate(program)
    service = served.service
    assert len(service.uploads) == 1
    visitor.page.close()
    wait_until(lambda: not service.visitors._streams[id_of(key)].open, 10)
    service.sweep()
    assert service.visitors.of(key) and len(service.uploads) == 1  # it may be a cut
    monkeypatch.setattr(service.visitors, "_grace_s", -1)
    monkeypatch.setattr("liverseg.page.uploads.GRACE_S", -1)
    service.sweep()
    assert service.visitors.of(key) is None and len(service.uploads) == 0


def test_cancel_works_while_others_fill_the_queue(visitor, served, slow_networks, tmp_path):
    visitor.open_scan(case(tmp_path, 38))
    with served.service.segmenting.turn() as first:
        first.wait()
        visitor.page.click("#segment")
        words = visitor.page.locator("#status .stage")
        expect(words).to_have_text("Place 1 of 1 in the queue", timeout=PATIENCE_MS)
        visitor.page.click("#cancel")
        expect(visitor.page.locator("#cancel")).to_be_hidden(timeout=PATIENCE_MS)
        expect(words).to_be_empty()
        wait_until(lambda: not served.service.segmenting._waiting, 10)
    visitor.page.click("#another")
    visitor.segment()


FRAMED = '<iframe src="{url}" width="1200" height="700"></iframe>'


def framed(chromium, address, url):
    """The page inside a page of another web site."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    context.grant_permissions(["local-network-access"])  # the test's page is on this machine
    page = context.new_page()
    body = FRAMED.format(url=url)
    page.route(f"{address}**", lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto(address)
    return page


def test_the_page_works_inside_a_space_s_frame(chromium, served, monkeypatch):
    small = make_phantom(3, shape=(8, 96, 96))
    monkeypatch.setattr(SyntheticCase, "make", lambda case: small)
    page = framed(chromium, "https://huggingface.co/spaces/someone/liverseg", served.url)
    frame = page.frame_locator("iframe")
    frame.locator("#synthetic").click(timeout=PATIENCE_MS)
    expect(frame.locator('.lv[data-phase="result"]')).to_be_visible(timeout=PATIENCE_MS)
    page.context.close()


def test_no_other_web_site_shows_the_page_in_a_frame(chromium, served):
    page = framed(chromium, "https://evil.example/", served.url)
    page.wait_for_timeout(2000)
    expect(page.frame_locator("iframe").locator("#synthetic")).to_have_count(0)
    page.context.close()
