"""Decodes compressed frames in another process, `decoder_process`.

The decoders are written in C. A hostile frame can crash them, make them loop or ask for all the
memory; only that process ends then, and the next frame gets a new one.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn, Protocol

import numpy as np

from ...errors import NoDecoder
from ...sentences import say

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("decoder_process.py")))
SECONDS = 4  # for one frame; a slice of 512×512 takes hundredths
START_SECONDS = 60  # on a busy machine the imports alone can take ten
MAX_HEAD = 1000  # bytes of an answer's first line


class DecoderProcess(Protocol):
    """What is used of a `subprocess.Popen`."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """None while it runs."""

    def kill(self) -> None:
        """Ends it."""

    def wait(self) -> int:
        """Until it has ended."""


class FrameDecoder:
    """A decoding process, started when first needed and again after it ended.

    Attributes:
        seconds: of CPU time that the present process has taken.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._process: DecoderProcess | None = None
        self._lock = threading.Lock()

    def decode(self, frame: bytes, syntax: str, options: dict) -> np.ndarray:
        """One frame's stored values, (rows, columns) of integers.

        Args:
            frame: the compressed bytes.
            syntax: UID of the transfer syntax.
            options: what `pydicom.pixels.utils.as_pixel_options` says of one frame.

        Raises:
            ValueError: it cannot be decoded.
            NoDecoder: the decoder crashed or took too long over it.
        """
        head = {"syntax": syntax, "bytes": len(frame), "options": options}
        with self._lock:
            try:
                answer, content = self._asked(json.dumps(head).encode() + b"\n" + frame)
            except (EOFError, OSError):
                self._end()
                raise NoDecoder(say("dicom.decoder_stops")) from None
        if not answer:
            raise ValueError("not decoded")
        return np.frombuffer(content, answer["dtype"]).reshape(answer["shape"])

    def _asked(self, request: bytes) -> tuple[dict, bytes]:
        process = self._running()
        requests, answers = _pipes(process)
        with _time_limit(process, SECONDS):
            requests.write(request)
            requests.flush()
            answer = json.loads(answers.readline(MAX_HEAD) or _gone())
            self.seconds = answer.pop("seconds")
            if not answer:
                return answer, b""
            size = int(np.prod(answer["shape"])) * np.dtype(answer["dtype"]).itemsize
            content = answers.read(size)
            return (answer, content) if len(content) == size else _gone()

    def _running(self) -> DecoderProcess:
        """The process; a new one where it has ended, or where this one was forked meanwhile."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = self._started()
            _, answers = _pipes(self._process)
            with _time_limit(self._process, START_SECONDS):
                answers.readline(MAX_HEAD)
        return self._process

    def _started(self) -> DecoderProcess:
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=null)

    def _end(self) -> None:
        process, self._process = self._process, None
        self.seconds = 0.0
        if process is None:  # the system could not start it
            return
        process.kill()
        for pipe in _pipes(process):
            with suppress(OSError):  # what was not written yet
                pipe.close()
        process.wait()


def _pipes(process: DecoderProcess) -> tuple[IO[bytes], IO[bytes]]:
    """Its stdin and stdout, both opened as pipes."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


@contextmanager
def _time_limit(process: DecoderProcess, seconds: float) -> Iterator[None]:
    """Kills a process that takes longer, so that waiting for it ends."""
    limit = threading.Timer(seconds, process.kill)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def _gone() -> NoReturn:
    raise EOFError
