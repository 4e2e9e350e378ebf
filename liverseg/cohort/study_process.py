"""The process that runs studies, one after the other, until it is ended; `process` starts it.

It says that it is ready. Then a line of JSON on the standard input is a `study.Job`; the line that
answers it says that its folder is written, and why this process ends, if it does. The system ends
nothing else where this crashes, hangs or runs out of memory.
"""

import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from ..errors import WeightsError
from ..reading.process_limits import address_space, set_limit
from ..reading.workers import Readers
from ..sentences import say
from .store import write_failed
from .study import Job, run_study

WATCH_S = 1.0


def serve(run: Callable[[Job, Readers], None] = run_study) -> None:
    """Runs what it is told until the standard input ends."""
    answers, parent = os.fdopen(os.dup(1), "w"), os.getppid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):  # no library may write a name or a header where people read
        os.dup2(null, descriptor)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    readers = Readers(follow_links=True)
    readers.start()
    _answer(answers, "ready")
    for line in sys.stdin:
        fields: dict[str, Any] = json.loads(line)
        fields |= {part: tuple(fields[part]) for part in ("scan", "prediction", "truth")}
        job = Job(**fields)
        _limit_memory(job.memory_mb)
        ended = _run(run, job, readers)
        _answer(answers, ended)
        if ended:
            break  # what a library has left behind after such an end is not to be trusted
    readers.close()


def _answer(answers: TextIO, text: str) -> None:
    answers.write(json.dumps(text) + "\n")
    answers.flush()


def _run(run: Callable[[Job, Readers], None], job: Job, readers: Readers) -> str:
    """The empty word, or why the process ends; the study's folder is written in any case."""
    began, out = time.monotonic(), Path(job.out)
    try:
        run(job, readers)
        return ""
    except MemoryError:
        reason = say("cohort.memory_spent", mb=job.memory_mb)
    except WeightsError as error:
        reason = error.args[0]
    except OSError as error:
        reason = say("cohort.not_written", reason=error.strerror or type(error).__name__)
    except Exception as error:  # a mistake of ours; its message may hold names of the files
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__}, {Path(frame.filename).name}:{frame.lineno}"
        reason = say("cohort.mistake", where=where)
    write_failed(out, job.key, reason, time.monotonic() - began)
    return reason.code


def _limit_memory(megabytes: int) -> None:
    """Counted from what is mapped before the first study, libraries and all."""
    global _resting
    mapped = address_space()
    if mapped is None:
        return
    _resting = min(_resting or mapped, mapped)
    set_limit(resource.RLIMIT_AS, _resting + megabytes * 10**6)


_resting: int | None = None


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


if __name__ == "__main__":
    serve()
