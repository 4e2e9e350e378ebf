"""Work that goes on whoever watches: a broken connection or a reload loses nothing of it.

A job takes the values that a handler yields, in a thread of its own, and remembers what they add up
to. Any number of events can follow it: the one that began it, and the one of a tab that comes back.
How much work runs at once is bounded by lanes, which give out turns.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from ..errors import Busy, Replaced
from ..sentences import say

Values = dict[str, Any]

LOOK_S = 0.2  # how often who waits for a turn looks whether anybody still wants the work
MOST_WAITING = 200
MOST_WAITING_OF_ADDRESS = 100  # far above a class behind one router
_CURRENT: ContextVar["Job | None"] = ContextVar("_CURRENT", default=None)  # of this thread


class Job:
    """One piece of work for one visitor.

    Args:
        values: what it shows, step by step; closing this iterator stops the work.
        inside: a context to work in.
    """

    def __init__(self, values: Iterator[Values], inside: AbstractContextManager):
        self._values, self._inside = values, inside
        self._shown: list[Values] = []
        self._error: BaseException | None = None
        self.is_done = self.is_stopped = False
        self._changed = threading.Condition()

    def start(self) -> None:
        """Begins the work."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Ends the work at its next step; who follows sees no more of it."""
        with self._changed:
            self.is_stopped = True
            self._changed.notify_all()

    def follow(self, pulse_s: float | None = None) -> Iterator[Values]:
        """What the work has shown so far in one step, then step by step.

        Steps that follow faster than they are taken are joined. Ends quietly where the work is
        stopped.

        Args:
            pulse_s: seconds after which an empty step is given where there is nothing new.

        Raises:
            Exception: whatever the work raised.
        """
        taken = 0
        while True:
            with self._changed:
                self._changed.wait_for(partial(self._has_news, taken), pulse_s)
                news, taken = self._shown[taken:], len(self._shown)
                is_over = self.is_done or self.is_stopped
            if self.is_stopped:
                return
            joined: Values = {}
            for values in news:
                joined |= values
            if joined or not is_over:
                yield joined
            if is_over:
                if self._error is not None:
                    raise self._error
                return

    def _has_news(self, taken: int) -> bool:
        return len(self._shown) > taken or self.is_done or self.is_stopped

    def _run(self) -> None:
        token = _CURRENT.set(self)
        try:
            with self._inside, closing(self._values) as steps:  # type: ignore[type-var]
                for values in steps:
                    if self.is_stopped:
                        break
                    with self._changed:
                        self._shown.append(values)
                        self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            _CURRENT.reset(token)
            with self._changed:
                self.is_done = True
                self._changed.notify_all()


def is_wanted() -> bool:
    """Whether anybody still wants the work of this thread."""
    job = _CURRENT.get()
    return job is None or not job.is_stopped


class Jobs:
    """The jobs under way, one of a kind for each visitor."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, Job]] = {}  # by visitor, by kind
        self._lock = threading.Lock()

    def start(
        self, visitor: str, kind: str, values: Iterator[Values], inside: AbstractContextManager
    ) -> Job:
        """Begins a job; the visitor's last one of this kind is stopped."""
        job = Job(values, inside)
        with self._lock:
            theirs = {k: one for k, one in self._jobs.get(visitor, {}).items() if not one.is_done}
            if kind in theirs:
                theirs[kind].stop()
            self._jobs[visitor] = {**theirs, kind: job}
        job.start()
        return job

    def of(self, visitor: str) -> list[Job]:
        """The visitor's jobs that are under way."""
        with self._lock:
            theirs = self._jobs.get(visitor, {}).values()
            return [job for job in theirs if not (job.is_done or job.is_stopped)]

    def keep(self, visitor: str) -> None:
        """Says that what the job of this thread has found is kept, and is still to be shown.

        No other job of its kind stops it any more.

        Raises:
            Replaced: it was stopped before.
        """
        job = _CURRENT.get()
        with self._lock:
            if not is_wanted():
                raise Replaced(say("study.replaced"))
            theirs = self._jobs.get(visitor, {})
            for kind in [kind for kind, one in theirs.items() if one is job]:
                theirs[f"{kind} {id(job)}"] = theirs.pop(kind)

    def stop(self, visitor: str, kind: str | None = None) -> None:
        """Stops the visitor's job of a kind, or all of theirs."""
        with self._lock:
            for name, job in self._jobs.get(visitor, {}).items():
                if kind in (name, None):
                    job.stop()

    def sweep(self) -> None:
        """Forgets what is done."""
        with self._lock:
            for visitor, theirs in list(self._jobs.items()):
                if all(job.is_done for job in theirs.values()):
                    del self._jobs[visitor]


class Lane:
    """Work of one kind, of which only so much runs at once.

    Those who wait at one address are called in the order of coming. Between addresses the time is
    shared, so that nobody takes more than half of it from a class, whatever they send; and while
    others are here, an address leaves one of several places free for them.

    Args:
        at_once: how much.
        goes_last: whether an address is called only while no other waits or works, here or in
            `beside`.
        beside: lanes of the same machine.
    """

    def __init__(
        self,
        at_once: int,
        goes_last: Callable[[str], bool] = lambda address: False,
        beside: "Iterable[Lane]" = (),
    ):
        self._goes_last, self._beside = goes_last, beside
        self._at_once = self._free = at_once
        self._waiting: list[Turn] = []
        self._running: list[Turn] = []
        self._used: dict[str, float] = {}  # seconds, by address, while anybody is here
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, address: str = "") -> Iterator["Turn"]:
        """A place in the line, given up at the end.

        Args:
            address: of who asks.

        Raises:
            Busy: too many wait already, at all or at this address.
        """
        mine = Turn(self, address)
        with self._changed:
            waiting = Counter(one.address for one in self._waiting)
            if waiting.total() >= MOST_WAITING or waiting[address] >= MOST_WAITING_OF_ADDRESS:
                raise Busy(say("page.busy"))
            here = {one.address for one in (*self._waiting, *self._running)}
            if address not in here:  # who was away has saved nothing
                least = min(map(self._seconds, here), default=0.0)
                self._used[address] = max(self._used.get(address, 0.0), least)
            self._waiting.append(mine)
            self._call()
        try:
            yield mine
        finally:
            with self._changed:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                else:
                    self._running.remove(mine)
                    self._used[address] += time.monotonic() - mine.begun
                    self._free += 1
                self._call()
                if not self._running:
                    self._used.clear()

    def _call(self) -> None:
        """Lets as many begin as may; called with the lock held."""
        while self._free:
            may = [one for one in self._waiting if self._may_begin(one.address)]
            if not may:
                break
            called = min(
                may, key=lambda one: (self._goes_last(one.address), self._seconds(one.address))
            )
            self._waiting.remove(called)
            called.begun = time.monotonic()
            self._running.append(called)
            self._free -= 1
            self._changed.notify_all()

    def addresses(self) -> set[str]:
        """Where those are who wait or work."""
        return {one.address for one in (*self._waiting, *self._running)}

    def _may_begin(self, address: str) -> bool:
        if self._goes_last(address):
            here = {other for lane in (self, *self._beside) for other in lane.addresses()}
            return all(map(self._goes_last, here))
        held = sum(one.address == address for one in self._running)
        came = self._used.keys() - {address}  # since the lane was empty
        is_alone = all(map(self._goes_last, came))
        return is_alone or held < max(1, self._at_once - 1)

    def _seconds(self, address: str) -> float:
        """How long work of this address has taken, also what is under way."""
        now = time.monotonic()
        under_way = sum(now - one.begun for one in self._running if one.address == address)
        return self._used[address] + under_way

    def _place(self, turn: "Turn") -> tuple[int, int] | None:
        if turn not in self._waiting:
            return None
        return self._waiting.index(turn) + 1, len(self._waiting)


class Turn:
    """A place in the line of a lane.

    Args:
        lane: which.
        address: of who waits.
    """

    def __init__(self, lane: Lane, address: str):
        self._lane, self.address, self.begun = lane, address, 0.0

    def places(self) -> Iterator[tuple[int, int]]:
        """The place in the line, from 1, and how many wait, at each change; ends when called.

        Raises:
            Replaced: nobody wants the work any more.
        """
        changed, last = self._lane._changed, None
        while True:
            with changed:
                self._lane._call()  # another lane may have become empty
                place = self._lane._place(self)
                if place is not None and place == last:
                    changed.wait(LOOK_S)
            if place is None:
                return
            if not is_wanted():
                raise Replaced(say("study.replaced"))
            if place != last:
                yield place
            last = place

    def wait(self) -> None:
        """Waits to be called; Replaced as `places`."""
        for _ in self.places():
            pass
