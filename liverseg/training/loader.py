"""Batches of samples, made ahead by processes of their own.

Each process opens the packed scans by their paths, so that all of them share one copy in memory,
and writes its batches into memory that it shares with the trainer. A batch depends on the seed and
its number only, however many processes there are.
"""

import ctypes
import mmap
import os
import pickle
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from math import prod
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..errors import DataError
from ..sentences import say
from .samples import Samples
from .stages import Stage

AHEAD = 2  # batches that a process makes before the trainer has taken one
MOST_WORKERS = 16
END_S = 5  # in which a process ends by itself
PROCESSES = get_context("spawn")  # a fork would copy what the network library's threads hold

Batch = tuple[np.ndarray, np.ndarray]


class Plan(NamedTuple):
    """A stage without its module, which would import the network library in each process."""

    size: int
    batch: int
    seed: int


class Parcel(NamedTuple):
    """Samples on their way to a process: arrays lie in shared memory, packed scans on disk."""

    pickled: bytes
    shared: Any  # a shared array of bytes
    sizes: list[int]


def make_batches(
    samples: Samples, stage: Stage, first: int = 0, workers: int | None = None
) -> Generator[Batch, None, None]:
    """Batches `first` to the last of a stage.

    Args:
        samples: pickled for each process; what its module imports, each of them imports.
        stage: which batches.
        first: number of the first.
        workers: processes; by default as many as there are cores.

    Yields:
        Image (n, size, size, 3) float32 and target (n, size, size, 2) float32: mask and weight.

    Raises:
        DataError: a process has ended, as when memory runs out.
    """
    steps = range(first, stage.steps)
    plan = Plan(stage.size, stage.batch, stage.seed)
    count = min(workers or min(_cores(), MOST_WORKERS), len(steps))
    parcel = _pack(samples)
    started = []
    try:
        with _interrupts_later():
            for number in range(count):
                started.append(_Worker(parcel, plan, steps[number::count]))
        for step in steps:
            yield started[(step - first) % count].take()
    finally:
        for worker in started:
            worker.close()
        for worker in started:
            worker.join()


def draw_batch(samples: Samples, plan: Plan, step: int, into: Batch) -> None:
    """Draws one batch into image and target, which are as `make_batches` yields them."""
    rng = np.random.default_rng((plan.seed, step))
    image, target = into
    for k in range(plan.batch):
        sample = samples.draw(rng, plan.size)
        image[k], target[k, ..., 0], target[k, ..., 1] = sample


class _Worker:
    """A process that makes every few batches, and the trainer's end of it."""

    def __init__(self, parcel: Parcel, plan: Plan, steps: range):
        self._places = [_Place(plan) for _ in range(AHEAD)]
        self._next = 0
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(
            target=_make_batches,
            args=(parcel, plan, steps, self._places, theirs),
            daemon=True,
        )
        self._process.start()
        theirs.close()  # so that this end knows when the process has ended

    def take(self) -> Batch:
        """The next batch; waits for it."""
        try:
            error = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(END_S)
            status = self._process.exitcode
            raise DataError(say("data.loader_ended", status=status)) from None
        if error is not None:
            raise error
        image, target = self._places[self._next].arrays()
        batch = image.copy(), target.copy()
        self._next = (self._next + 1) % AHEAD
        with suppress(ConnectionError):  # it has made its last batch
            self._pipe.send(None)  # the place is free
        return batch

    def close(self) -> None:
        """Tells the process to end."""
        self._pipe.close()

    def join(self) -> None:
        """Waits until it has ended, and ends it if it does not."""
        self._process.join(END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()


class _Place:
    """Memory for one batch, shared by two processes."""

    def __init__(self, plan: Plan):
        square = plan.batch, plan.size, plan.size
        self._shapes = (*square, 3), (*square, 2)
        self._memory: Any = PROCESSES.RawArray(ctypes.c_float, sum(map(prod, self._shapes)))

    def arrays(self) -> Batch:
        """Image and target."""
        flat = np.frombuffer(self._memory, np.float32)
        image, target = np.split(flat, [prod(self._shapes[0])])
        return image.reshape(self._shapes[0]), target.reshape(self._shapes[1])


def _make_batches(
    parcel: Parcel, plan: Plan, steps: range, places: list[_Place], pipe: Connection
) -> None:
    """What a process does: it ends when it is done or when the trainer has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer's to decide
    cv2.setNumThreads(1)
    arrays = [place.arrays() for place in places]
    with suppress(EOFError, ConnectionError):  # the trainer has gone
        try:
            samples = _unpack(parcel)
            for k, step in enumerate(steps):
                if k >= AHEAD:
                    pipe.recv()
                draw_batch(samples, plan, step, arrays[k % AHEAD])
                pipe.send(None)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            pipe.send(error)


class _ByPath(pickle.Pickler):
    """Leaves what is memory-mapped where it is."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.memmap) and isinstance(value.base, mmap.mmap):
            order = "C" if value.flags.c_contiguous else "F"
            return np.memmap, (value.filename, value.dtype, "r", value.offset, value.shape, order)
        return NotImplemented


def _pack(samples: Samples) -> Parcel:
    buffers: list[pickle.PickleBuffer] = []
    pickled = BytesIO()
    _ByPath(pickled, protocol=5, buffer_callback=buffers.append).dump(samples)
    parts = [buffer.raw() for buffer in buffers]
    shared = PROCESSES.RawArray(ctypes.c_byte, max(1, sum(part.nbytes for part in parts)))
    view, begin = memoryview(shared).cast("B"), 0
    for part in parts:
        view[begin : begin + part.nbytes] = part.cast("B")
        begin += part.nbytes
    return Parcel(pickled.getvalue(), shared, [part.nbytes for part in parts])


def _unpack(parcel: Parcel) -> Samples:
    view, begin, buffers = memoryview(parcel.shared).cast("B").toreadonly(), 0, []
    for size in parcel.sizes:
        buffers.append(view[begin : begin + size])
        begin += size
    samples: Samples = pickle.loads(parcel.pickled, buffers=buffers)
    return samples


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C is answered afterwards, and never by processes that are started meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # the first time it lets interruptions through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
