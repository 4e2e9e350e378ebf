"""The process that forks one reader for each upload; `workers` starts it and says why.

It has imported all that reading needs and has one thread, so that a fork is ready in milliseconds
and safe. It does nothing else: it starts readers, ends those that nobody waits for any more, and
reports how they ended. When the page is gone, its control socket says so and all readers end too;
when this process is killed, the system ends them.

control     each message brings three descriptors: request, answer, life
request     pipe to the reader: the length of a pickled request, the request; then one byte where
            the page wants the voxels through the pipe, none where it has copied them itself
answer      pipe from the reader: the length of a pickled answer, the answer; then the voxels
life        socket to this process, which sends lines of JSON: the number of the reader's `process`,
            later how it ended, by `signal`, `exit` status, CPU `seconds` and peak `megabytes`; it
            ends the reader when the page closes the socket
"""

import contextlib
import ctypes
import gc
import json
import math
import os
import pickle
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import UploadError
from ..volume import Segmentation, Volume
from .budget import Budget
from .dicom import decoder_process
from .dicom.decoder import DecoderProcess, FrameDecoder
from .dicom.pixels import decode_with
from .limits import LIMITS
from .process_limits import address_space, set_limit
from .upload import place_truth, read_scan
from .workers import LENGTH, OUT_OF_MEMORY

PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux
SHORT_S = 3.0  # CPU time in which an ordinary scan is read
NICER = 10  # how much a reader that takes longer lets others go first


def serve(control: socket.socket) -> None:
    """Forks readers until the page is gone."""
    Zygote(control).serve()


class Zygote:
    """Starts and ends readers.

    Args:
        control: from the page.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._readers: dict[Any, int] = {}  # life to process
        self._ended, told = socket.socketpair()
        for end in (self._ended, told):
            end.setblocking(False)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._told = told
        self._selector = selectors.DefaultSelector()
        for source in (control, self._ended):
            self._selector.register(source, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the page is gone."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    _, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
                    if not descriptors:
                        self._end_all()
                        return
                    self._start(*descriptors)
                elif key.fileobj is self._ended:
                    self._reap()
                elif key.fileobj in self._readers:  # not reaped just now: the page has closed it
                    self._selector.unregister(key.fileobj)
                    _kill(self._readers[key.fileobj])

    def _start(self, request: int, answer: int, life: int) -> None:
        try:
            process = os.fork()
        except OSError:  # the system has too many; the page sees that its life has ended
            for descriptor in (request, answer, life):
                os.close(descriptor)
            return
        if process == 0:
            self._become_reader(request, answer, life)
        with contextlib.suppress(OSError):  # the reader does it too, whoever comes first
            os.setpgid(process, process)
        os.close(request)
        os.close(answer)
        line = socket.socket(fileno=life)
        _tell(line, {"process": process})
        self._readers[line] = process
        self._selector.register(line, selectors.EVENT_READ)

    def _become_reader(self, request: int, answer: int, life: int) -> None:
        """In the forked process: lets go of all that is the zygote's, reads, and ends."""
        try:
            parent = os.getppid()
            os.setpgid(0, 0)
            _end_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for line in (*self._readers, self._control, self._ended, self._told):
                line.close()
            os.close(life)
            _silence()
            read(request, answer)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)

    def _reap(self) -> None:
        """Reports the readers that have ended; what they started ends with them."""
        with contextlib.suppress(BlockingIOError):
            self._ended.recv(4096)
        for line, process in list(self._readers.items()):
            ended, status, usage = os.wait4(process, os.WNOHANG)
            if not ended:
                continue
            _kill(process)  # its decoder; no new process can have got the number so soon
            report = {
                "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                "seconds": usage.ru_utime + usage.ru_stime,
                "megabytes": usage.ru_maxrss // 1024,
            }
            _tell(line, report)
            del self._readers[line]
            with contextlib.suppress(KeyError):
                self._selector.unregister(line)
            line.close()

    def _end_all(self) -> None:
        signal.set_wakeup_fd(-1)  # nobody listens when they end
        for process in self._readers.values():
            _kill(process)


def read(request: int, answer: int) -> None:
    """One upload, in the reader.

    Args:
        request, answer: descriptors of the two pipes.
    """
    asked = open(request, "rb")  # noqa: SIM115 - until this process ends
    kind, *inputs = pickle.loads(asked.read(*LENGTH.unpack(asked.read(LENGTH.size))))
    budget = ProcessBudget()
    decode_with(ForkedDecoder(budget))
    voxels = None
    content: tuple
    try:
        if kind == "scan":
            volume = _scan(budget, *inputs)
            voxels, content = volume.hu, (volume.shape, rest_of(volume))
        else:
            truth = _truth(budget, *inputs)
            voxels, content = truth.labels, (truth.labels.shape, {"notices": truth.notices})
        voxels = np.ascontiguousarray(voxels)
        content = ("read", voxels.ctypes.data, *content)
    except UploadError as error:
        content = ("refused", type(error).__name__, error.args)
    except MemoryError:
        raise
    except Exception as error:  # a mistake of ours; its message may hold names of the upload
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        content = ("failed", f"{type(error).__name__} at {where}")
    head = pickle.dumps((budget.usage(), *content), protocol=5)
    with open(answer, "wb", buffering=0) as stream:
        stream.write(LENGTH.pack(len(head)) + head)
        if voxels is not None and asked.read(1):
            left = voxels.data.cast("B")
            while left:
                left = left[stream.write(left) :]


def rest_of(volume: Volume) -> dict[str, Any]:
    """All of a Volume but its voxels, by field."""
    return {one.name: getattr(volume, one.name) for one in fields(volume) if one.name != "hu"}


def _scan(budget: Budget, paths: list[str], follow_links: bool, choose: tuple[str, ...]) -> Volume:
    return read_scan(paths, choose=choose, budget=budget, follow_links=follow_links)


def _truth(
    budget: Budget,
    paths: list[str],
    follow_links: bool,
    choose: tuple[str, ...],
    shape: tuple[int, int, int],
    rest: dict[str, Any],
) -> Segmentation:
    """The voxels of the scan did not come: a ground truth is placed by shape and geometry only."""
    volume = Volume(np.broadcast_to(np.int16(0), shape), **rest)
    how: dict[str, Any] = {"choose": choose, "budget": budget, "follow_links": follow_links}
    return place_truth(paths, volume, **how)


class ProcessBudget(Budget):
    """An upload's budget with limits of time and memory, which the system enforces.

    The kernel ends the process with SIGXCPU, and refuses memory, which raises MemoryError. What
    the decoder takes, which is another process, is taken from this one's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._resting = address_space()
        self._voxels = 0
        self._decoder_seconds = 0.0
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # reading writes no files
        yield_after(SHORT_S)
        self._limit()

    def allow(self, voxels: int) -> None:
        """See `Budget`."""
        self._voxels = min(LIMITS.voxels, self._voxels + voxels)
        self._limit()

    def take(self, decoder_seconds: float) -> None:
        """Counts the CPU time of all decoders so far."""
        if int(decoder_seconds) > int(self._decoder_seconds):
            self._decoder_seconds = decoder_seconds
            self._limit()

    def usage(self) -> tuple[float, int]:
        """CPU seconds, and MB at the peak, so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime + self._decoder_seconds
        return seconds, used.ru_maxrss // 1024

    def _limit(self) -> None:
        allowed = LIMITS.cpu_seconds + LIMITS.cpu_seconds_per_mvoxel * self._voxels / 1e6
        left = max(1, math.ceil(allowed - self._decoder_seconds))
        set_limit(resource.RLIMIT_CPU, left)
        if self._resting:
            memory = LIMITS.scan_memory_bytes if self._voxels else LIMITS.memory_bytes
            set_limit(resource.RLIMIT_AS, self._resting + memory)


class ForkedDecoder(FrameDecoder):
    """Decodes in a fork of the reader, which needs no time to start.

    Args:
        budget: which its time is taken from.
    """

    def __init__(self, budget: ProcessBudget) -> None:
        super().__init__()
        self._budget = budget

    def decode(self, frame: bytes, syntax: str, options: dict) -> np.ndarray:
        """See `FrameDecoder`."""
        try:
            return super().decode(frame, syntax, options)
        finally:
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._budget.take(self.seconds + ended.ru_utime + ended.ru_stime)

    def _started(self) -> DecoderProcess:
        return Forked(decoder_process.serve)


class Forked:
    """A forked process that serves requests, as `subprocess.Popen` shows one.

    Args:
        serve: from a stream of requests to one of answers.
    """

    def __init__(self, serve: Callable) -> None:
        requests, writes = os.pipe()
        reads, answers = os.pipe()
        parent = os.getpid()
        self._status: int | None = None
        self._process = os.fork()
        if self._process == 0:
            try:
                _end_with_parent(parent)
                os.close(writes)
                os.close(reads)
                yield_after(SHORT_S)
                with open(requests, "rb") as asked, open(answers, "wb") as answered:
                    serve(asked, answered)
            finally:
                os._exit(0)
        os.close(requests)
        os.close(answers)
        self.stdin: IO[bytes] | None = os.fdopen(writes, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(reads, "rb")

    def poll(self) -> int | None:
        """None while it runs."""
        if self._status is None:
            ended, status = os.waitpid(self._process, os.WNOHANG)
            self._status = status if ended else None
        return self._status

    def kill(self) -> None:
        """Ends it."""
        if self.poll() is None:
            os.kill(self._process, signal.SIGKILL)

    def wait(self) -> int:
        """Until it has ended."""
        if self._status is None:
            _, self._status = os.waitpid(self._process, 0)
        return self._status


def yield_after(cpu_seconds: float) -> None:
    """Lets all other work of the machine go first once this process has used so much time."""
    signal.signal(signal.SIGPROF, lambda *_: os.nice(NICER))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _tell(life: socket.socket, report: dict) -> None:
    with contextlib.suppress(OSError):  # nobody waits any more
        life.send(json.dumps(report).encode() + b"\n")


def _kill(process: int) -> None:
    """Ends a reader and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _end_with_parent(parent: int) -> None:
    """Makes the system end this process together with the one that forked it, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _silence() -> None:
    """Lets no library write anything of an upload where the page's log is."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # so that the readers share it
    serve(socket.socket(fileno=os.dup(0)))
