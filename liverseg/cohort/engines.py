"""Many studies at once: in processes of this machine, or on the workers of a Dask scheduler.

Neither keeps anything: what is finished is on the disk.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from ..errors import DataError
from ..sentences import Sentence, say
from .process import COMMAND, run_job
from .store import FAILED, MANIFEST, folder_of, read, write_failed
from .study import Job

Done = Callable[[str], object]


def run_here(
    jobs: Iterable[Job], workers: int, done: Done, command: tuple[str, ...] = COMMAND
) -> None:
    """Runs jobs on this machine.

    Args:
        jobs: what to do.
        workers: processes at once; each has a thread here that waits for it.
        done: called with the key of each that is over.
        command: of the processes.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="study")
    try:
        futures = [pool.submit(run_job, job.to_dict(), command) for job in jobs]
        for future in as_completed(futures):
            done(future.result())
    finally:
        pool.shutdown(cancel_futures=True)


def run_on_dask(
    jobs: Iterable[Job], scheduler: str, done: Done, command: tuple[str, ...] = COMMAND
) -> None:
    """Runs jobs on the workers of a scheduler, which must see the same paths as this program.

    A worker runs whatever it is sent: the scheduler belongs on a network that can be trusted.

    Args:
        jobs: what to do.
        scheduler: address, as "tcp://host:8786".
        done, command: as for `run_here`.

    Raises:
        DataError: there is no Dask, or no scheduler at that address any more.
    """
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise DataError(say("cohort.no_dask")) from None
    waiting = {f"study-{job.key}": job for job in jobs}
    try:
        with Client(scheduler, timeout=30) as client:
            # Under their keys, so that a study that is asked for twice at once runs once.
            futures = client.map(
                partial(run_job, command=command),
                [job.to_dict() for job in waiting.values()],
                key=list(waiting),
            )
            for future in completed(futures):
                if future.status == "lost" or future.cancelled():
                    raise DataError(say("cohort.scheduler_gone", address=scheduler))
                job = waiting[future.key]
                error = future.exception()
                if error is not None:
                    write_failed(Path(job.out), job.key, _reason(error), 0)
                done(job.key)
                future.release()
    except (OSError, TimeoutError, CancelledError):
        raise DataError(say("cohort.scheduler_gone", address=scheduler)) from None


def _reason(error: BaseException) -> Sentence:
    """Why a worker has not run a study at all; its message may hold names of files."""
    name = type(error).__name__
    if name == "KilledWorker":  # again and again
        return say("cohort.stopped")
    return say("cohort.worker_failed", error=name)


def failed(out: Path, keys: Iterable[str]) -> Iterator[str]:
    """Those of the keys whose study has no results."""
    for key in keys:
        if read(folder_of(out, key) / MANIFEST).get("state") in (FAILED, None):
            yield key
