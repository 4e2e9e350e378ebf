"""Strangers who do to a page, all at once and over and over, what nobody should."""

import itertools
import random
import socket
import tempfile
import threading
import zipfile
from collections import Counter
from pathlib import Path

import httpx

from liverseg.page.visitors import id_of, new_key
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from tests.helpers import costly_uploads
from tests.helpers.attacker import Attacker

SCANS = (
    costly_uploads.zips_of_folders,
    costly_uploads.lying_locator,
    costly_uploads.pictures_of_nothing,
    costly_uploads.headers_of_many_elements,
    costly_uploads.jpeg_of_many_scans,
    costly_uploads.runs_of_one,
    costly_uploads.many_orientations,
)
TRUTHS = (costly_uploads.dozen_of_segs, costly_uploads.sixty_masks)

ELSEWHERE = "127.0.0.2"  # loopback too; a system may not have it
PAUSE_S = 3.0  # between two rounds of an attack: this is about what is asked, not about a flood
MOST_ROUNDS = 1000
JOINS = 60
NO_ANSWER = 0
FOREIGN = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
)
BESIDE = ("run/cancel", "run/open_synthetic", "call/segment", "component_server")
PATHS = ("/", "/etc/passwd", "app.py", "../app.py", "weights/config.json", "http://127.0.0.1:1/x")


class Strangers:
    """They begin when this context is entered, and end by themselves when it is left.

    Args:
        served: the page, as `page_server` serves it.
        count: how many they are; each attacks in all ways at once.

    Attributes:
        statuses: of all answers so far; `NO_ANSWER` where none came.
        handles: of uploads in no tab's name, which programs may ask for later.
    """

    def __init__(self, served, count: int):
        self._served, self._count, self._stop = served, count, threading.Event()
        self._uploads = costly_contents() if count else {}
        self._numbers = itertools.count(random.Random(0).randrange(100_000))
        self.statuses: list[int] = []
        self.handles: list[str] = []
        ways = (
            self.send_costly_scans,
            self.send_costly_scans_as_programs,
            self.send_costly_truths,
            self.name_paths,
            self.join_sixty_times,
            self.send_cheap_events,
            self.post_beside_the_queue,
            self.come_from_other_sites,
            self.come_and_go,
            self.abandon_uploads,
            self.ask_for_synthetic_cases,
        )
        self._threads = [
            threading.Thread(target=self._go_on, args=(way,)) for way in ways for _ in range(count)
        ]

    def __enter__(self) -> "Strangers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> dict[int, int]:
        """How many requests were answered with each status."""
        return dict(sorted(Counter(self.statuses).items()))

    def _go_on(self, way) -> None:
        def note(answer: httpx.Response) -> None:
            self.statuses.append(answer.status_code)

        stranger = None
        for _ in range(MOST_ROUNDS):
            try:
                if stranger is None:
                    stranger = Attacker(self._served, another_address())
                    stranger.http.event_hooks["response"] = [note]
                way(stranger)
            except httpx.HTTPStatusError:  # its status is noted
                pass
            except (httpx.HTTPError, StopIteration):
                self.statuses.append(NO_ANSWER)
            if self._stop.wait(PAUSE_S):
                return

    # Ways to harm

    def send_costly_scans(self, stranger: Attacker) -> None:
        """As a tab does."""
        for make in SCANS:
            key = new_key()
            handle = stranger.upload(self._uploads[make], owner=id_of(key))
            stranger.join("open_scan", key, {"handles": [handle]})
            if self._stop.is_set():
                return

    def send_costly_scans_as_programs(self, stranger: Attacker) -> None:
        """To the endpoint."""
        for make in SCANS:
            handle = self._program_upload(stranger, self._uploads[make])
            stranger.join("segment", [handle], None, None)
            if self._stop.is_set():
                return

    def send_costly_truths(self, stranger: Attacker) -> None:
        """For a small scan, as a tab does and to the endpoint."""
        for make in TRUTHS:
            key = new_key()
            scan = stranger.upload(self._uploads[small_scan], owner=id_of(key))
            self._follow(stranger, stranger.join("open_scan", key, {"handles": [scan]}))
            truth = stranger.upload(self._uploads[make], owner=id_of(key))
            stranger.join("open_truth", key, {"handles": [truth]})
            both = (self._uploads[small_scan], self._uploads[make])
            scan, truth = (self._program_upload(stranger, one) for one in both)
            stranger.join("segment", [scan], [truth], None)
            if self._stop.is_set():
                return

    def name_paths(self, stranger: Attacker) -> None:
        """Of the server, in place of uploads."""
        for path in PATHS:
            file = {"path": path, "meta": {"_type": "gradio.FileData"}, "url": path}
            stranger.join("open_scan", new_key(), {"handles": [path]})
            stranger.join("open_truth", new_key(), {"files": [file], "names": ["x"]})
            stranger.join("segment", [file], None, None)
            stranger.http.get(f"gradio_api/file={path}")

    def join_sixty_times(self, stranger: Attacker) -> None:
        """In one session, with work that would take the networks."""
        session, key = new_key(), new_key()
        for _ in range(JOINS):
            stranger.join("open_synthetic", key, next(self._numbers), session=session)

    def send_cheap_events(self, stranger: Attacker) -> None:
        """Of visitors that nobody knows."""
        for name in ("cancel", "arrive", "run", "make_file") * 5:
            stranger.join(name, new_key(), event_data={"kind": "nifti"})

    def post_beside_the_queue(self, stranger: Attacker) -> None:
        """To what Gradio has besides."""
        for path in BESIDE:
            stranger.http.post(f"gradio_api/{path}", json={"data": [new_key(), 1]})
        files = {"file": ("recording", bytes(100_000)), "config": (None, "{}")}
        stranger.http.post("gradio_api/process_recording", files=files)

    def come_from_other_sites(self, stranger: Attacker) -> None:
        """As a web page in a visitor's browser could."""
        for headers in FOREIGN:
            for path in ("upload", "queue/join", "cancel"):
                files = {"files": ("x", b"x")}
                stranger.http.post(f"gradio_api/{path}", headers=headers, files=files)

    def come_and_go(self, stranger: Attacker) -> None:
        """As tabs that are closed at once."""
        for _ in range(10):
            with stranger.http.stream("GET", f"here/{id_of(new_key())}") as stream:
                next(stream.iter_lines())

    def abandon_uploads(self, stranger: Attacker) -> None:
        """In a tab's name, and in nobody's."""
        stranger.upload(bytes(1_000_000), owner=id_of(new_key()))
        self._program_upload(stranger, bytes(1_000_000))

    def ask_for_synthetic_cases(self, stranger: Attacker) -> None:
        """One after another, each as somebody else."""
        self._follow(stranger, stranger.join("open_synthetic", new_key(), next(self._numbers)))

    def _program_upload(self, stranger: Attacker, content: bytes) -> str:
        handle = stranger.upload(content)
        self.handles.append(handle)
        return handle

    def _follow(self, stranger: Attacker, joined: httpx.Response) -> None:
        """Waits for the end of an event, or of all."""
        if joined.status_code == 200:
            address = f"gradio_api/queue/data?session_hash={joined.session}"
            with stranger.http.stream("GET", address) as stream:
                next(one for one in stream.iter_lines() if _is_end(one) or self._stop.is_set())


def _is_end(line: str) -> bool:
    return "process_completed" in line or "close_stream" in line


def another_address() -> str | None:
    """A loopback address that is not the others', where the system has one."""
    with socket.socket() as probe:
        try:
            probe.bind((ELSEWHERE, 0))
        except OSError:
            return None
    return ELSEWHERE


def costly_contents() -> dict:
    """What they send, by its maker."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        return {make: make(path).read_bytes() for make in (*SCANS, *TRUTHS, small_scan)}


def small_scan(path: Path) -> Path:
    """A scan that a ground truth can be sent for."""
    volume, _ = make_phantom(1, shape=(4, 64, 64))
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
        for file in write_dicom(volume, Path(folder)):
            archive.write(file, file.name)
    return path
