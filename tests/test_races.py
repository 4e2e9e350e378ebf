"""Two events of one visitor that overlap: nothing of what was replaced is kept or shown.

Every ordered pair of events is tried, the first one held wherever it takes long, the second one
held or finished meanwhile. What takes long is made up: it waits at a gate until the test opens it.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from liverseg.errors import ChoiceNeeded, NotAScan, Replaced, TruthMismatch
from liverseg.network.cascade import Step
from liverseg.page import events, handlers, jobs, service
from liverseg.page.events import answering
from liverseg.page.handlers import Handlers
from liverseg.page.jobs import Jobs
from liverseg.page.number_table import number_table
from liverseg.page.service import Service
from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.viewer import packing
from liverseg.page.visitors import OpenedStudy, SegmentedStudy, new_key
from liverseg.reading.choice import Choice, Question
from liverseg.scores import findings
from liverseg.volume import Segmentation, Spacing, Volume
from tests.helpers.page_server import wait_until

pytestmark = pytest.mark.slow

PATIENCE_S = 20
MAY_WAIT_S = 0.04  # an event may have to wait for the other one; what comes of it is the same
SIDE = 24
SCANS = ("a", "b", "c", "made", "case")  # each has another number of slices
NOBODY = SimpleNamespace(request=SimpleNamespace(scope={"client": ("127.0.0.1", 1)}))


def volume_of(name):
    return Volume(np.zeros((4 + SCANS.index(name), SIDE, SIDE), np.int16), Spacing(5.0, 1.0, 1.0))


def masks_of(volume, size=8, tumor=3):
    """A liver as large as the scan has slices, so that every scan has another volume."""
    labels = np.zeros(volume.shape, np.uint8)
    labels[:, 2 : 2 + size, 2 : 2 + size] = 1
    labels[1, 3 : 3 + tumor, 3:5] = 2
    return Segmentation(labels)


class Gates:
    """Where work waits until it may go on; open unless the test closes them."""

    def __init__(self):
        self._changed = threading.Condition()
        self._closed, self._waiting = Counter(), Counter()

    def close(self, name):
        self._closed[name] = 1

    def open(self, name=None):
        with self._changed:
            self._closed.pop(name, None) if name else self._closed.clear()
            self._changed.notify_all()

    def pass_through(self, name):
        """Called by the work; only the first one to come waits."""
        with self._changed:
            if self._closed[name] and not self._waiting[name]:
                self._waiting[name] += 1
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: not self._closed[name], PATIENCE_S)
                self._waiting[name] = 0

    def wait_for_any(self, names, otherwise, patience_s):
        """Waits until work is held at one of some gates, or for something else; which of them."""

        def is_held():
            return [name for name in names if self._waiting[name] and self._closed[name]]

        with self._changed:
            self._changed.wait_for(lambda: is_held() or otherwise(), patience_s)
            return is_held()

    def look_again(self):
        with self._changed:
            self._changed.notify_all()


WHICH = Choice(Question.SCAN, ("first", "second"))


class Readers:
    """Reads the name that stands in an upload's only file."""

    def __init__(self, gates):
        self._gates = gates

    def read_scan(self, paths, answers=(), *, wanted):
        name = paths[0].read_text()
        self._gates.pass_through("read scan")
        if not wanted():
            raise Replaced("late")
        if name == "two" and WHICH.answers[1] not in answers:
            raise ChoiceNeeded(WHICH.sentence, WHICH)
        if name == "no scan":
            raise NotAScan("no scan")
        return volume_of("c" if name == "two" else name)

    def read_truth(self, paths, volume, answers=(), *, wanted):
        name = paths[0].read_text()
        self._gates.pass_through("read truth")
        if not wanted():
            raise Replaced("late")
        if name == "no truth":
            raise TruthMismatch("no truth")
        sizes = {"truth": (7, 2), "other truth": (6, 4), "liver alone": (6, 0)}
        return masks_of(volume, *sizes[name])


@dataclass
class Named:
    """An upload of one file that holds its name."""

    name: str

    def move_to(self, folder):
        (folder / "file").write_text(self.name)


class Tab:
    """What a browser shows, and the events that it sends."""

    def __init__(self, gates, page, visitor):
        self._gates, self._page, self._visitor = gates, page, visitor
        self.shown, self.errors, self.mixed, self.ended = {}, [], [], []
        self._lock = threading.Lock()

    def send(self, name):
        """Begins an event; a thread that ends with the last of its answers."""
        event, *inputs = EVENTS[name]
        handler = getattr(self._page, event)
        widgets = {widget: widget for widget in WIDGETS}
        stream = answering(self._page, handler, widgets)(NOBODY, self._visitor, *inputs)
        thread = threading.Thread(target=self._follow, args=(name, stream), daemon=True)
        thread.start()
        return thread

    def _follow(self, name, stream):
        try:
            for values in stream:
                with self._lock:
                    changes = {k: one for k, one in values.items() if one != events.gr.skip()}
                    self.shown |= changes
                    self._look()
        except events.gr.Error as error:
            if error.visible:
                self.errors.append((name, str(error.message)))
        finally:
            self.ended.append(name)
            self._gates.look_again()

    def _look(self):
        """Numbers and picture on screen at one moment are of one scan."""
        viewer, numbers = self.shown.get("viewer"), self.shown.get("numbers")
        if viewer and numbers:
            (liver_ml,) = (
                row["liver"] for row in numbers[0]["rows"] if row["name"] == "Liver volume"
            )
            slices = viewer["shape"][0]
            if liver_ml != f"{slices * 64 * 5 / 1000:,.0f}":
                self.mixed.append((slices, liver_ml))


WIDGETS = (
    *(
        "panel",
        "no_tumors",
        "clear_scan",
        "clear_truth",
        "scan",
        "choice",
        "truth",
        "segment",
        "status",
        "cancel",
    ),
    *("viewer", "notices", "numbers", "curves", "surfaces", "files"),
)
# each event by a name: the handler, and its inputs
EVENTS = {
    "scan a": ("open_scan", "a"),
    "scan b": ("open_scan", "b"),
    "no scan": ("open_scan", "no scan"),
    "two scans": ("open_scan", "two"),
    "series": ("answer", WHICH.answers[1]),
    "synthetic": ("open_synthetic", 1),
    "case": ("open_case", SimpleNamespace(number=2, size="any", contrast="any")),
    "truth": ("open_truth", "truth"),
    "other truth": ("open_truth", "other truth"),
    "no truth": ("open_truth", "no truth"),
    "liver alone": ("open_truth", "liver alone"),
    "count": ("count_false", True),
    "run": ("run",),
    "cancel": ("cancel",),
    "surfaces": ("draw_surfaces",),
    "file": ("make_file", SimpleNamespace(kind="json")),
    "clear": ("clear_scan",),
    "clear truth": ("clear_truth",),
    "arrive": ("arrive", SimpleNamespace(had=True)),
}
GATES = {
    "scan b": ("read scan", "pack"),
    "no scan": ("read scan",),
    "two scans": ("read scan",),
    "series": ("read scan", "pack"),
    "synthetic": ("make", "pack", "segment", "measure"),
    "case": ("make", "pack"),
    "truth": ("read truth", "measure", "surfaces"),
    "no truth": ("read truth",),
    "run": ("segment", "measure", "surfaces"),
    "surfaces": ("draw",),
    "file": ("write",),
}
OPENS = {"scan b": "b", "series": "c", "synthetic": "made", "case": "case"}


@pytest.fixture(scope="module")
def engine():
    thresholds = SimpleNamespace(liver_threshold=0.5, tumor_threshold=0.5)
    return SimpleNamespace(identity="made-up", recipe=thresholds)


@pytest.fixture
def tab(tmp_path, monkeypatch, engine):
    gates = Gates()

    def gated(where, name, gate):
        call = getattr(where, name)

        def waits(*values, **settings):
            gates.pass_through(gate)
            return call(*values, **settings)

        monkeypatch.setattr(where, name, waits)

    def steps(_, volume):
        yield Step("liver", 1, 2, (0,), masks_of(volume).labels[:1])
        gates.pass_through("segment")
        yield Step("done", 2, 2, result=masks_of(volume))

    def write_slices(hu, order, folder, write=packing._write_slices):
        if len(order) > 1:
            gates.pass_through("pack")
        return write(hu, order, folder)

    def make(case):
        gates.pass_through("make")
        volume = volume_of("made" if case.number == 1 else "case")
        return volume, masks_of(volume, 5)

    def started(all_of_them, *values, start=Jobs.start):
        job = start(all_of_them, *values)
        all_jobs.append(job)
        return job

    all_jobs = []
    monkeypatch.setattr(Jobs, "start", started)
    monkeypatch.setattr(jobs, "LOOK_S", 0.01)
    monkeypatch.setattr(events, "PAUSE_S", 0)
    monkeypatch.setattr(handlers, "PREVIEW_PAUSE_S", 0)
    monkeypatch.setattr(Service, "steps", steps)
    monkeypatch.setattr(packing, "_write_slices", write_slices)
    monkeypatch.setattr(SyntheticCase, "make", make)
    monkeypatch.setattr(Handlers, "_taken", lambda _, visitor, upload: Named(upload))
    gated(service, "find", "measure")
    gated(findings, "add_surfaces", "surfaces")
    gated(handlers, "surfaces", "draw")
    gated(service, "write_file", "write")
    folders = [tmp_path / name for name in ("reading", "served", "arrived")]
    for folder in folders:
        folder.mkdir()
    made = Service(*folders, engine=engine)
    made.readers = Readers(gates)
    page = Handlers(made)
    made_tab = Tab(gates, page, new_key())
    made_tab.gates, made_tab.service, made_tab.reading = gates, made, folders[0]
    made_tab.jobs = all_jobs
    yield made_tab
    gates.open()


def finish(*threads):
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "an answer never ended"


def bring_to(tab, state):
    """Brings the page to one of the states in which a pair of events begins."""
    for event in {
        "empty": (),
        "two": ("two scans",),
        "opened": ("scan a",),
        "scored": ("scan a", "other truth", "run"),
    }[state]:
        finish(tab.send(event))
    assert tab.errors == []
    tab.ended.clear()


def held(tab, name, gate):
    """Begins an event, and holds it at a gate of it; None where it does not come there."""
    tab.gates.close(gate)
    thread = tab.send(name)
    is_held = tab.gates.wait_for_any([gate], lambda: name in tab.ended, PATIENCE_S)
    if not is_held:
        tab.gates.open(gate)
        finish(thread)
    elif gate == "pack":  # nobody clicks before there is a picture
        wait_until(
            lambda: (tab.shown.get("viewer") or {}).get("shape", [0])[0] == size_of(name), 10
        )
    return thread if is_held else None


def size_of(name):
    """How many slices the scan has that an event opens."""
    return len(volume_of(OPENS[name]).hu)


def consistent(tab):
    """What the page shows at the end is what is open, all of it and of one scan."""
    study, shown = tab.service.visitors.of(tab._visitor), tab.shown
    assert tab.mixed == []
    assert study is None or (study.asked_scan, study.asked_truth, study.asked_run) == (None,) * 3
    waiting = [study.waiting, study.waiting_truth] if study else []
    waiting = [folder for folder in waiting if folder]
    assert sorted(tab.reading.iterdir()) == sorted(waiting)
    if not isinstance(study, OpenedStudy):
        assert not shown.get("viewer") and not shown.get("numbers")
        return study
    viewer = shown["viewer"]
    assert viewer["id"] == study.shown["id"]
    assert viewer["shape"] == list(study.volume.shape)
    assert len(viewer["ct"]) == 2 and viewer["progress"] is None and viewer["previews"] == []
    assert shown["segment"]["interactive"] and shown["cancel"]["visible"] == "hidden"
    assert shown["status"] is None
    result = viewer["result"]
    is_segmented = isinstance(study, SegmentedStudy)
    assert bool(result and result["predicted"]) == is_segmented
    assert bool(result and result["truth"]) == (study.truth is not None)
    found = study.findings if is_segmented else None
    assert is_segmented == (found is not None)
    assert shown["numbers"] == number_table(found)
    if found:
        assert found.truth is study.truth and found.prediction is study.prediction
        assert (found.scores is None) == (study.truth is None)
        assert shown["surfaces"] is not None
        assert shown["curves"] is not None
    else:
        assert shown["surfaces"] is None and shown["curves"] is None
        assert shown["files"]["offers"] == []
    return study


BEGINNINGS = {
    "empty": ("scan b", "no scan", "two scans", "synthetic"),
    "two": ("series", "scan b", "synthetic"),
    "opened": ("scan b", "no scan", "two scans", "synthetic", "truth", "no truth", "run"),
    "scored": ("scan b", "synthetic", "truth", "no truth", "run", "surfaces", "file"),
}
SECONDS = {
    "empty": ("scan b", "no scan", "two scans", "case", "other truth", "run", "cancel", "arrive"),
    "two": ("series", "scan b", "case", "other truth", "cancel", "arrive"),
    "opened": (
        "scan b",
        "no scan",
        "two scans",
        "case",
        "other truth",
        "no truth",
        "run",
        "cancel",
    ),
    "scored": (
        *("scan b", "no scan", "case", "other truth", "no truth"),
        *("run", "cancel", "arrive", "surfaces", "file", "clear", "clear truth"),
    ),
}
PAIRS = [
    (state, first, gate, second)
    for state, firsts in BEGINNINGS.items()
    for first in firsts
    for gate in GATES[first]
    for second in SECONDS[state]
]


@pytest.mark.parametrize("ends_last", ["first", "second"])
@pytest.mark.parametrize(("state", "first", "gate", "second"), PAIRS)
def test_of_two_events_that_overlap_nothing_late_is_kept_or_shown(
    tab, state, first, gate, second, ends_last
):
    bring_to(tab, state)
    first_thread = held(tab, first, gate)
    if first_thread is None:
        return  # the first one takes no time there in this state
    if ends_last == "first":
        second_thread = tab.send(second)
        second_thread.join(MAY_WAIT_S)
    else:
        gates = set(GATES.get(second, ())) - {gate}
        for name in gates:
            tab.gates.close(name)
        second_thread = tab.send(second)
        tab.gates.wait_for_any(gates, lambda: second in tab.ended, MAY_WAIT_S)
        tab.gates.open(gate)
        first_thread.join(MAY_WAIT_S)
    tab.gates.open()
    finish(first_thread, second_thread)
    settle(tab)
    study = consistent(tab)
    assert names_of(study) == expected(state, first, gate, second)
    assert {name for name, _ in tab.errors} <= {"run", "surfaces", "file", "series"}


def settle(tab):
    """Waits for work that nobody follows any more."""
    for job in tab.jobs:
        with job._changed:
            assert job._changed.wait_for(lambda job=job: job.is_done, PATIENCE_S)


def names_of(study):
    """(scan, truth, whether it is segmented) of what is open."""
    if not isinstance(study, OpenedStudy):
        return None, None, False
    scan = SCANS[len(study.volume.hu) - 4]
    sizes = {5 * 8: "its own", 6 * 8: "other truth", 7 * 8: "truth"}
    truth = study.truth and sizes[int(study.truth.liver[0, :, 2:10].any(1).sum() * 8)]
    return scan, truth, isinstance(study, SegmentedStudy)


TRUTHS = ("other truth", "no truth")


def expected(state, first, gate, second):
    """What a person who did this would expect to be open: (scan, truth, whether segmented)."""
    now = {"opened": ("a", None, False), "scored": ("a", "other truth", True)}.get(
        state, (None, None, False)
    )
    if second == "clear":
        return None, None, False
    is_pending = gate in ("read scan", "make")  # the scan of the first one is not open yet
    asks = second in OPENS or second in ("no scan", "two scans")
    if first in OPENS and not (is_pending and (asks or second == "cancel")):
        now = new_scan(first, stopped=second == "cancel" and gate == "segment")
    elif first == "truth" and (gate != "read truth" or second not in TRUTHS):
        now = (now[0], "truth", now[2])
    elif first == "run":
        is_stopped = second == "cancel" and gate == "segment"
        now = (*now[:2], now[2] or not is_stopped)
    if second in OPENS:
        if second == "series" and first in OPENS and not is_pending:
            return now  # none of the two scans waits any more
        return new_scan(second)
    if second == "clear truth":
        waits = first in OPENS and is_pending  # and has a truth of its own, if any
        now = now if waits else (now[0], None, now[2])
    if second == "other truth" and now[0]:
        waits = (first == "synthetic" and is_pending) or first == "two scans"
        now = now if waits else (now[0], "other truth", now[2])
    if second == "run" and now[0] and not is_pending:
        now = (*now[:2], True)
    if second == "run" and first in ("no scan", "two scans") and now[0]:
        now = (*now[:2], True)
    return now


def new_scan(event, stopped=False):
    """What is open after an event has opened its scan."""
    is_made = event in ("synthetic", "case")
    return OPENS[event], "its own" if is_made else None, event == "synthetic" and not stopped


@pytest.mark.parametrize("event", ["file", "surfaces"])
def test_what_failed_can_be_tried_again(tab, monkeypatch, event):
    where, name = {"file": (service, "write_file"), "surfaces": (handlers, "surfaces")}[event]
    bring_to(tab, "scored")
    with monkeypatch.context() as patch:
        patch.setattr(where, name, lambda *_: 1 / 0)
        for _ in range(2):
            finish(tab.send(event))
            if event == "file":
                failed = tab.shown["files"]["failed"]
                assert failed["kind"] == "json" and "Try again" in failed["why"]
            else:
                assert tab.shown["surfaces"].startswith("failed ")
    finish(tab.send(event))
    if event == "file":
        assert "failed" not in tab.shown["files"]
        assert tab.shown["files"]["made"]["file"]["path"].endswith("report.json")
    else:
        assert "data" in tab.shown["surfaces"]


def test_one_switch_says_whether_a_truth_without_tumors_counts_found_ones_as_false(tab):
    bring_to(tab, "scored")
    assert not tab.shown["no_tumors"]["visible"]
    finish(tab.send("liver alone"))
    assert tab.shown["no_tumors"]["visible"] and not tab.shown["no_tumors"]["value"]
    dice = tab.shown["numbers"][1]["rows"][0]
    assert dice["name"] == "Dice" and dice["tumor"] == "–"
    result = tab.shown["viewer"]["result"]
    assert not result["tumors_scored"]
    assert {one["status"] for one in result["lesions"]} == {"unknown"}
    finish(tab.send("count"))
    result = tab.shown["viewer"]["result"]
    assert result["tumors_scored"]
    assert {one["status"] for one in result["lesions"]} == {"false"}
    assert tab.shown["numbers"][1]["rows"][0]["tumor"] == "0.000"
    consistent(tab)
    finish(tab.send("truth"))
    assert not tab.shown["no_tumors"]["visible"]


def test_a_file_that_cannot_be_made_is_listed_with_the_reason(tab):
    bring_to(tab, "scored")
    offers = {offer["kind"]: offer for offer in tab.shown["files"]["offers"]}
    assert not offers["seg"]["possible"] and "uploaded as DICOM" in offers["seg"]["note"]
    assert all(offer["possible"] for kind, offer in offers.items() if kind != "seg")
    assert "png" not in offers
