"""A study in a process of its own, which is ended where it takes too long or too much.

It stays for the next study, since loading libraries and networks takes longer than a small one.
Works the same from a thread of this program and from a worker of Dask.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from ..sentences import say
from .store import write_failed

PACKAGE = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", f"{PACKAGE.name}.cohort.study_process")
THREAD_VARIABLES = (
    "LIVERSEG_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
START_S = 300  # in which it loads its libraries, from a slow disk of a cluster too
DONE = b'""\n'
_here = threading.local()


def run_job(job: dict[str, Any], command: tuple[str, ...] = COMMAND) -> str:
    """Runs a study to its end, whatever that is.

    Args:
        job: a `study.Job` as plain values.
        command: of the process; another one in tests.

    Returns:
        The key; what became of it stands in its folder.
    """
    process = getattr(_here, "process", None)
    if process is None or not process.serves(command, job["threads"]):
        _here.process = process = StudyProcess(command, job["threads"])
    process.run(job)
    return job["key"]


class StudyProcess:
    """The process, started anew after each end."""

    def __init__(self, command: tuple[str, ...], threads: int) -> None:
        self._command, self._threads = command, threads
        self._process, self._is_ready = _started(command, threads), False
        self._ends = weakref.finalize(self, _end, self._process)

    def serves(self, command: tuple[str, ...], threads: int) -> bool:
        """Whether the next study can have it."""
        return (command, threads) == (self._command, self._threads) and self._process.poll() is None

    def run(self, job: dict[str, Any]) -> None:
        """Writes the reason in place of the results where the process cannot."""
        began, out = time.monotonic(), Path(job["out"])
        answer, is_late = self._asked(job)
        seconds = time.monotonic() - began
        if answer == DONE:
            return
        self.close()
        if answer:
            return
        if is_late:
            reason = say("cohort.time_spent", seconds=job["time_limit_s"])
        else:
            reason = say("cohort.stopped")
        write_failed(out, job["key"], reason, seconds)

    def _asked(self, job: dict[str, Any]) -> tuple[bytes, bool]:
        """The line that answers, empty where none came, and whether the time was over."""
        requests = self._process.stdin
        assert requests is not None  # a pipe
        if not self._is_ready:
            ready, is_late = self._answer(START_S)
            if not ready:
                return b"", is_late
            self._is_ready = True
        try:
            requests.write(json.dumps(job).encode() + b"\n")
            requests.flush()
        except OSError:
            return b"", False
        return self._answer(job["time_limit_s"])

    def _answer(self, seconds: float) -> tuple[bytes, bool]:
        answers = self._process.stdout
        assert answers is not None  # a pipe
        ready = select.poll()
        ready.register(answers, select.POLLIN)
        if not ready.poll(seconds * 1000):
            return b"", True
        return answers.readline(), False

    def close(self) -> None:
        """Ends it."""
        self._ends()


def _started(command: tuple[str, ...], threads: int) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=PACKAGE.parent,
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        start_new_session=True,  # Ctrl+C is the parent's alone, which then lets it end
    )


def _end(process: subprocess.Popen) -> None:
    process.kill()  # its readers see that it is gone, and end too
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
