"""Work that goes on whoever watches, and turns that are given in the order of coming."""

import threading
import time
from contextlib import ExitStack, nullcontext

import pytest

from liverseg.errors import Busy, Replaced
from liverseg.page import jobs
from liverseg.page.jobs import Jobs, Lane, is_wanted
from liverseg.page.manners import MOST_REFUSALS, Manners
from tests.helpers.page_server import wait_until


class Work:
    """Values that come when the test says so."""

    def __init__(self):
        self.may, self.closed = threading.Semaphore(0), threading.Event()
        self.wanted = []

    def values(self, *steps):
        try:
            for step in steps:
                self.may.acquire()
                self.wanted.append(is_wanted())
                yield step
            self.may.acquire()
        finally:
            self.closed.set()

    def go_on(self, steps=1):
        self.may.release(steps)


@pytest.fixture
def work():
    return Work()


def started(all_jobs, work, *steps, kind="reading"):
    return all_jobs.start("ann", kind, work.values(*steps), nullcontext())


def test_who_follows_from_the_start_sees_every_step(work):
    following = started(Jobs(), work, {"a": 1}, {"a": 2}).follow()
    for step in ({"a": 1}, {"a": 2}):
        work.go_on()
        assert next(following) == step
    work.go_on()
    assert list(following) == []


def test_who_comes_late_gets_all_at_once_and_then_the_rest(work):
    job = started(Jobs(), work, {"a": 1, "b": 1}, {"a": 2}, {"c": 3})
    work.go_on(2)
    wait_until(lambda: len(job._shown) == 2, 10)
    late = job.follow()
    assert next(late) == {"a": 2, "b": 1}
    work.go_on(2)
    assert list(late) == [{"c": 3}]


def test_work_goes_on_when_nobody_follows_any_more(work):
    job = started(Jobs(), work, {"a": 1}, {"a": 2})
    work.go_on()
    first = job.follow()
    next(first)
    first.close()
    work.go_on(2)
    wait_until(lambda: job.is_done, 10)
    assert list(job.follow()) == [{"a": 2}]


def test_an_error_reaches_everyone_who_follows_after_what_was_shown():
    def fails():
        yield {"a": 1}
        raise ValueError("broken")

    job = Jobs().start("ann", "reading", fails(), nullcontext())
    wait_until(lambda: job.is_done, 10)
    for _ in range(2):
        following = job.follow()
        assert next(following) == {"a": 1}
        with pytest.raises(ValueError, match="broken"):
            next(following)


def test_a_stopped_job_ends_quietly_and_closes_its_work(work):
    all_jobs = Jobs()
    job = started(all_jobs, work, {"a": 1}, {"a": 2})
    work.go_on()
    following = job.follow()
    next(following)
    all_jobs.stop("ann", "reading")
    assert list(following) == []
    work.go_on()
    assert work.closed.wait(10)
    assert work.wanted == [True, False]
    assert all_jobs.of("ann") == []


def test_a_new_job_takes_the_place_of_the_last_of_its_kind_only():
    all_jobs, first, other, second = Jobs(), Work(), Work(), Work()
    one = started(all_jobs, first, {})
    another = started(all_jobs, other, {}, kind="truth")
    latest = started(all_jobs, second, {})
    assert (one.is_stopped, another.is_stopped, latest.is_stopped) == (True, False, False)
    for work in (first, other, second):
        work.go_on(5)
    wait_until(lambda: all(job.is_done for job in (one, another, latest)), 10)
    all_jobs.sweep()
    assert not all_jobs._jobs


def test_a_pulse_comes_where_nothing_is_new(work):
    following = started(Jobs(), work, {"a": 1}).follow(0.01)
    assert next(following) == {}
    work.go_on(2)
    assert {"a": 1} in list(following)


def test_turns_come_in_order_and_places_go_down():
    lane, seen = Lane(1), []
    with lane.turn() as first:
        first.wait()
        ready, threads = [], []

        def wait(name):
            with lane.turn() as turn:
                for place in turn.places():
                    seen.append((name, place))
                    ready.append(name)
                seen.append((name, "called"))

        for name in "abc":
            threads.append(threading.Thread(target=wait, args=(name,)))
            threads[-1].start()
            wait_until(lambda name=name: name in ready, 10)
    for thread in threads:
        thread.join(10)
    assert [name for name, what in seen if what == "called"] == ["a", "b", "c"]
    places = [what[0] for name, what in seen if name == "c" and what != "called"]
    assert places == sorted(places, reverse=True) and places[0] == 3


def test_only_so_much_runs_at_once_and_a_place_is_given_back():
    lane = Lane(2)
    with lane.turn() as one, lane.turn() as two:
        one.wait()
        two.wait()
        with lane.turn() as third:
            assert next(third.places()) == (1, 1)
        assert not lane._waiting
    with lane.turn() as again:
        again.wait()
    assert lane._free == 2


def test_who_is_not_wanted_any_more_leaves_the_line():
    lane, all_jobs = Lane(1), Jobs()

    def waits():
        with lane.turn() as turn:
            for place in turn.places():
                yield {"place": place}

    with lane.turn() as first:
        first.wait()
        job = all_jobs.start("ann", "segmenting", waits(), nullcontext())
        assert next(job.follow()) == {"place": (1, 1)}
        all_jobs.stop("ann")
        wait_until(lambda: job.is_done, 10)
        assert not lane._waiting
    assert isinstance(job._error, Replaced | type(None))


def test_too_many_who_wait_are_refused_first_those_of_one_address(monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 3)
    monkeypatch.setattr(jobs, "MOST_WAITING_OF_ADDRESS", 2)
    lane = Lane(0)
    with lane.turn("attacker"), lane.turn("attacker"):
        with pytest.raises(Busy):
            lane.turn("attacker").__enter__()
        with lane.turn("school"), pytest.raises(Busy):
            lane.turn("home").__enter__()


class Clock:
    """Time as a test wants it."""

    now = 0.0

    def __call__(self):
        return self.now


def test_an_address_that_took_much_time_lets_others_go_first(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs.time, "monotonic", clock)
    lane, order = Lane(1), []
    with ExitStack() as waiting:
        first = waiting.enter_context(ExitStack())
        first.enter_context(lane.turn("attacker"))
        turns = {}
        for name in ("attacker 2", "attacker 3", "school 1", "school 2", "school 3"):
            left = waiting.enter_context(ExitStack())
            turns[name] = left.enter_context(lane.turn(name.split()[0])), left
        clock.now = 10
        first.close()
        while turns:
            (name,) = [one for one, (turn, _) in turns.items() if lane._place(turn) is None]
            order.append(name)
            clock.now += 5 if "school" in name else 10
            turns.pop(name)[1].close()
    assert order == ["school 1", "school 2", "attacker 2", "school 3", "attacker 3"]
    assert not lane._used


def test_who_comes_anew_has_saved_nothing(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs.time, "monotonic", clock)
    lane = Lane(1)
    with lane.turn("school"):
        clock.now = 100
        with lane.turn("school") as waits, lane.turn("new"):
            assert lane._place(waits) == (1, 2)
            assert lane._seconds("new") == lane._seconds("school")


def test_time_is_shared_between_addresses_and_in_order_at_each():
    lane, called = Lane(1), []

    def work(address, name):
        with lane.turn(address) as turn:
            turn.wait()
            called.append(name)
            time.sleep(0.05)

    threads = []
    with lane.turn("attacker") as first:
        first.wait()
        time.sleep(0.1)
        for address, name in (*[("attacker", f"a{k}") for k in range(6)], ("school", "s1")):
            threads.append(threading.Thread(target=work, args=(address, name)))
            threads[-1].start()
            wait_until(lambda: len(lane._waiting) == len(threads), 10)
    for thread in threads:
        thread.join(10)
    assert called[0] == "s1"
    assert called[1:] == [f"a{k}" for k in range(6)]


def test_an_address_leaves_a_place_free_while_others_are_here():
    lane = Lane(2)
    with lane.turn("school") as one, lane.turn("school") as two:
        one.wait()
        two.wait()  # alone, a class has both places
    with lane.turn("school") as one:
        one.wait()
        with lane.turn("attacker") as bomb, lane.turn("attacker") as second:
            bomb.wait()
            assert next(second.places()) == (1, 1)
        with lane.turn("attacker") as bomb, lane.turn("attacker") as second:
            pass
    with lane.turn("attacker") as bomb:
        bomb.wait()
        with lane.turn("school") as one, lane.turn("attacker") as second:
            one.wait()
            assert next(second.places()) == (1, 1)


def test_who_sends_what_is_refused_is_called_when_nobody_else_waits():
    manners, called = Manners(), []
    lane = Lane(1, manners.are_bad)

    def work(address):
        with lane.turn(address) as turn:
            turn.wait()
            called.append(address)
            time.sleep(0.02)

    for _ in range(MOST_REFUSALS + 1):
        manners.refused("attacker")
    manners.refused("school")
    threads = []
    with lane.turn("school") as first:
        first.wait()
        for address in ("attacker", "attacker", "school", "school", "school"):
            threads.append(threading.Thread(target=work, args=(address,)))
            threads[-1].start()
            wait_until(lambda: len(lane._waiting) == len(threads), 10)
    for thread in threads:
        thread.join(10)
    assert called == ["school"] * 3 + ["attacker"] * 2


def test_who_sends_what_is_refused_gets_no_place_while_others_work():
    manners = Manners()
    for _ in range(MOST_REFUSALS + 1):
        manners.refused("attacker")
    lane = Lane(2, manners.are_bad)
    with lane.turn("attacker") as bomb:
        bomb.wait()
    with lane.turn("school") as one, lane.turn("attacker") as bomb, lane.turn("school") as two:
        one.wait()
        two.wait()  # a class has both places again
        assert next(bomb.places()) == (1, 1)
    with lane.turn("school") as one, lane.turn("attacker") as bomb:
        one.wait()
        assert next(bomb.places()) == (1, 1)
    with lane.turn("attacker") as bomb:
        bomb.wait()


def test_who_sends_what_is_refused_waits_for_work_of_every_kind():
    manners, lanes = Manners(), []
    for _ in range(MOST_REFUSALS + 1):
        manners.refused("attacker")
    lanes += [Lane(1, manners.are_bad, lanes) for _ in range(2)]
    reading, making = lanes
    with ExitStack() as attack:
        with reading.turn("school") as one:
            one.wait()
            bomb = attack.enter_context(making.turn("attacker"))
            assert next(bomb.places()) == (1, 1)
        bomb.wait()


def test_manners_are_forgotten(monkeypatch):
    manners = Manners()
    for _ in range(MOST_REFUSALS + 1):
        manners.refused("attacker")
    assert manners.are_bad("attacker")
    monkeypatch.setattr("liverseg.page.manners.WINDOW_S", -1.0)
    assert not manners.are_bad("attacker")
    manners.sweep()
    assert not manners._refused
