"""Reads uploads in processes of their own, within a budget of time and memory.

What a stranger sends can make any reader loop, crash or ask for all the memory; only the process
that reads this one upload ends then, and a person gets a sentence. `worker_process` forks it, in
milliseconds, from a process that has everything imported. Where a system cannot fork, as Windows,
the upload is read in this process.
"""

import json
import logging
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from ctypes import CDLL, Structure, byref, c_size_t, c_void_p
from dataclasses import replace
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .. import errors
from ..errors import OverBudget, ReadingStopped, Replaced
from ..sentences import Sentence, say
from ..volume import Segmentation, Volume
from .choice import Choice, Given, as_texts
from .mask_order import laid_by_content

try:
    import fcntl
except ImportError:  # Windows
    PIPE_SIZE = None
else:
    PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)

LIBC = CDLL(None) if hasattr(os, "fork") else None
PACKAGE = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", f"{PACKAGE.name}.reading.worker_process")
FRUGAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # each takes address space, which is limited
    # the memory of one slice is used again for the next, and not fetched anew from the system
    "MALLOC_MMAP_THRESHOLD_": str(2**24),
    "MALLOC_TRIM_THRESHOLD_": str(2**27),
}
POLL_S = 0.1  # after which is asked again whether anybody still waits
PIPE_BYTES = 2**20
STUDY = "StudyInstanceUID"
LENGTH = struct.Struct("<I")  # of a request, and of what comes before the voxels
OUT_OF_MEMORY = 3  # exit status of a reader
END_S = 5  # in which the processes end by themselves when the page closes

# What an answer is made of besides plain values: sentences, choices, geometry, DICOM attributes.
ANSWERED = {
    Sentence.__module__,
    Volume.__module__,
    Choice.__module__,
    "numpy",
    "numpy._core.multiarray",
    "numpy._core.numeric",
    "pydicom.dataelem",
    "pydicom.dataset",
    "pydicom.multival",
    "pydicom.sequence",
    "pydicom.tag",
    "pydicom.uid",
    "pydicom.valuerep",
}
ANSWERED_FUNCTIONS = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("pydicom.valuerep", "DS"),
}

Paths = str | Path | Iterable[str | Path]
Wanted = Callable[[], bool]
log = logging.getLogger(__name__)


def _always() -> bool:
    return True


class Readers:
    """Reads uploads apart from this process; how many at once is up to who calls.

    Args:
        follow_links: whether links to files are read, which the command line wants and the page
            never.
    """

    def __init__(self, follow_links: bool = False) -> None:
        self._follow_links = follow_links
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._closed = False

    def read_scan(self, paths: Paths, choose: Given = (), *, wanted: Wanted = _always) -> Volume:
        """The one CT scan in an upload.

        Args:
            paths, choose: as for `upload.read_scan`.
            wanted: whether anybody still waits for it; asked several times a second.

        Raises:
            UploadError: as `upload.read_scan` does.
            OverBudget: it took more time or memory than an upload may take.
            ReadingStopped: the process ended before it was done.
            Replaced: nobody waits for it any more.
        """
        if not _can_fork():
            from .upload import read_scan

            return read_scan(paths, choose=choose, follow_links=self._follow_links)
        request = ("scan", _absolute(paths), self._follow_links, as_texts(choose))
        hu, rest = self._read(request, np.dtype(np.int16), wanted)
        return Volume(hu, **rest)

    def read_truth(
        self, paths: Paths, volume: Volume, choose: Given = (), *, wanted: Wanted = _always
    ) -> Segmentation:
        """The ground truth in an upload, on the scan's grid.

        Args:
            paths, volume, choose: as for `upload.read_truth`.
            wanted: as for `read_scan`.

        Raises:
            UploadError: as `upload.read_truth` does, else as `read_scan`.
        """
        if not _can_fork():
            from .upload import read_truth

            return read_truth(paths, volume, choose=choose, follow_links=self._follow_links)
        headers = volume.source.headers[:1] if volume.source else ()
        study = tuple({STUDY: str(one.get(STUDY) or "")} for one in headers)  # no more is needed
        source = volume.source and replace(volume.source, headers=study)
        known = {"spacing": volume.spacing, "windowed": volume.windowed, "source": source}
        answers = as_texts(choose)
        request = ("truth", _absolute(paths), self._follow_links, answers, volume.shape, known)
        labels, rest = self._read(request, np.dtype(np.uint8), wanted)
        return laid_by_content(Segmentation(labels, **rest), volume)

    def start(self) -> None:
        """Starts what the first upload would else have to wait for; returns at once."""
        if _can_fork():
            with self._lock:
                self._running()

    def close(self) -> None:
        """Ends all its processes; what is being read raises ReadingStopped."""
        with self._lock:
            self._closed, zygote, self._zygote = True, self._zygote, None
        if zygote:
            zygote.close()

    def _read(self, request: tuple, dtype: np.dtype, wanted: Wanted) -> tuple[np.ndarray, dict]:
        _check(wanted)
        with _Reader(self._fork, wanted) as reader:
            return reader.read(request, dtype)

    def _fork(self, descriptors: list[int]) -> None:
        """Makes a reader of these, in a new zygote where the old one has ended."""
        with self._lock:
            for _ in range(2):
                try:
                    return self._running().fork(descriptors)
                except OSError:
                    self._zygote = None
        raise ReadingStopped(say("reading.stopped"))

    def _running(self) -> "_Zygote":
        if self._closed:
            raise ReadingStopped(say("reading.stopped"))
        if self._zygote is None:
            self._zygote = _Zygote()
        return self._zygote


class _Zygote:
    """The process that forks the readers; it ends when this object or this process does."""

    def __init__(self) -> None:
        control, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                COMMAND,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=PACKAGE.parent,
                env=os.environ | FRUGAL,
                start_new_session=True,  # Ctrl+C is the page's alone
            )
        self._control = control
        self.close = weakref.finalize(self, _end, control, process)

    def fork(self, descriptors: list[int]) -> None:
        """Asks for a reader; OSError where the process has ended."""
        socket.send_fds(self._control, [b"r"], descriptors)


def _end(control: socket.socket, process: subprocess.Popen) -> None:
    control.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Reader:
    """One forked process that reads one upload; it is ended when this is left.

    Args:
        fork: makes a reader of three descriptors: request, answer, life.
        wanted: whether anybody still waits.
    """

    def __init__(self, fork: Callable[[list[int]], None], wanted: Wanted) -> None:
        self._wanted, self._asked = wanted, time.monotonic()
        self._heard = b""
        with ExitStack() as opened, ExitStack() as theirs:
            request, writes = os.pipe()
            self._request = opened.enter_context(open(writes, "wb", buffering=0))
            theirs.enter_context(open(request, "rb"))
            reads, answer = os.pipe()
            self._answer = opened.enter_context(open(reads, "rb", buffering=0))
            theirs.enter_context(open(answer, "wb"))
            self._life, life = socket.socketpair()
            opened.enter_context(self._life)
            theirs.enter_context(life)
            for descriptor in (writes, reads):
                os.set_blocking(descriptor, False)
            if PIPE_SIZE:
                with suppress(OSError):  # the user has too many
                    fcntl.fcntl(reads, PIPE_SIZE, PIPE_BYTES)
            fork([request, answer, life.fileno()])
            self._opened = opened.pop_all()

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def read(self, request: tuple, dtype: np.dtype) -> tuple[np.ndarray, dict[str, Any]]:
        """Voxels of a type, and the other fields of what was read; raises what the reader did."""
        asked = pickle.dumps(request, protocol=5)
        self._send(memoryview(LENGTH.pack(len(asked)) + asked))
        length = bytearray(LENGTH.size)
        self._fill(memoryview(length))
        head = bytearray(*LENGTH.unpack(length))
        self._fill(memoryview(head))
        (seconds, megabytes), outcome, *content = _Answer(BytesIO(head)).load()
        log.debug("reading took %.2f CPU s and %d MB", seconds, megabytes)
        if outcome == "failed":
            log.error("reading failed: %s", *content)
            raise ReadingStopped(say("reading.stopped"))
        if outcome == "refused":
            name, arguments = content
            raise getattr(errors, name)(*arguments)
        address, shape, rest = content
        voxels = np.empty(shape, dtype)
        if not self._has_copied(voxels, address):
            self._send(memoryview(b"!"))
            self._fill(voxels.data.cast("B"))
        return voxels, rest

    def _has_copied(self, voxels: np.ndarray, address: int) -> bool:
        """Fills an array from the reader's memory in one go, where the system lets it.

        Through a pipe it takes three times as long, and longer still while others work.
        """
        process = self._told().get("process")  # by the zygote, not by the reader
        copy = getattr(LIBC, "process_vm_readv", None)  # Linux has it
        if process is None or copy is None:
            return False
        ours, theirs = (_Region(start, voxels.nbytes) for start in (voxels.ctypes.data, address))
        return voxels.nbytes == copy(process, byref(ours), 1, byref(theirs), 1, 0)

    def _send(self, content: memoryview) -> None:
        try:
            while content:
                self._wait(self._request, select.POLLOUT)
                content = content[self._request.write(content) or 0 :]
        except BrokenPipeError:
            self._explain()

    def _fill(self, target: memoryview) -> None:
        """Reads exactly that much."""
        while target:
            self._wait(self._answer, select.POLLIN)
            count = self._answer.readinto(target)
            if not count:
                self._explain()
            target = target[count:]

    def _wait(self, end: FileIO | socket.socket, event: int) -> None:
        """Until a pipe is ready; Replaced when nobody waits any more."""
        ready = select.poll()
        ready.register(end, event)
        while True:
            found = ready.poll(POLL_S * 1000)
            if not found or time.monotonic() - self._asked > POLL_S:
                _check(self._wanted)
                self._asked = time.monotonic()
            if found:
                return

    def _explain(self) -> NoReturn:
        """Why the process ended before it was done."""
        report = self._told()
        if "process" in report:
            report = self._told()
        log.debug("reading ended: %s", report)
        if report.get("signal") == signal.SIGXCPU:
            raise OverBudget(say("reading.time_spent"))
        if report.get("exit") == OUT_OF_MEMORY:
            raise OverBudget(say("reading.memory_spent"))
        raise ReadingStopped(say("reading.stopped"))

    def _told(self) -> dict:
        """The next report of the zygote; empty where it has ended too."""
        while b"\n" not in self._heard:
            self._wait(self._life, select.POLLIN)
            part = self._life.recv(1000)
            if not part:
                return {}
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)


class _Region(Structure):
    """Memory of a process, as `process_vm_readv` wants it."""

    _fields_ = (("start", c_void_p), ("bytes", c_size_t))


class _Answer(pickle.Unpickler):
    """Makes nothing of what a reader sends but what an answer consists of.

    The reader has looked at what a stranger sent; whatever became of it, it decides nothing here.
    """

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler`."""
        found = super().find_class(module, name) if module in ANSWERED else None
        if isinstance(found, type) or (module, name) in ANSWERED_FUNCTIONS:
            return found
        raise ReadingStopped(say("reading.stopped"))


def _check(wanted: Wanted) -> None:
    if not wanted():
        raise Replaced(say("study.replaced"))


def _absolute(paths: Paths) -> list[str]:
    """As the reader finds them, which has another working folder."""
    ones = [paths] if isinstance(paths, str | Path) else paths
    return [str(Path(path).absolute()) for path in ones]


def _can_fork() -> bool:
    return hasattr(os, "fork")
