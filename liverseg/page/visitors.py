"""Who is here, and what each has open: one study, bounded in bytes and age, freed when they leave.

Nothing here is shared between visitors. A visitor is a tab of a browser, or one call of a program.
A tab says who it is by a key of its own making, 256 random bits that it keeps as long as it lives,
so that it finds its scan again after a reload or a broken connection. The first half is the
visitor's id, under which the tab keeps a stream open to say that it is still there; the whole key
opens the study.
"""

import re
import secrets
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import NoRoom, Replaced
from ..reading.choice import OF_TRUTH, Choice, Question
from ..scores.findings import Findings
from ..sentences import say
from ..volume import Segmentation, Volume
from .jobs import is_wanted
from .synthetic_case import SyntheticCase

MAX_STUDY_BYTES = 4 * 2**30  # of the 16 GB of a small Space
MAX_STUDIES = 200
MAX_AGE_S = 60 * 60
ACTIVE_S = 10 * 60  # without an event; somebody may look at a scan for long
SHARE_OF_ADDRESS = 0.75  # of all studies, far above a class of thirty behind one router
GRACE_S = 45  # a connection may break for half a minute; a closed tab does not come back
REPLACED_S = 30  # for which a tab may still fetch files of a scan until it hears of the next
MOST_REPLACED = 2  # scans of one visitor whose files are kept that long
SHARED_LIMIT = say("page.shared_limit", gb=MAX_STUDY_BYTES // 10**9)
KEY = re.compile(r"[0-9a-f]{64}")
ID_LENGTH = 32


def new_key() -> str:
    """The key of a visitor who is no tab."""
    return secrets.token_hex(32)


def id_of(key: str) -> str:
    """The public half of a visitor's key."""
    return key[:ID_LENGTH]


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """What one visitor has open: no scan yet. A new one replaces it at every step.

    Attributes:
        served: folder for the files that their browser fetches, of this scan alone.
        waiting, waiting_truth: folders of uploads that are not done with: a scan until a person has
            chosen what it is, and whether masks beside it are its ground truth; a ground truth
            until its scan is here, or what it is is chosen. All three are removed together with the
            study.
        answers, truth_answers: what was said about these.
        choice: what has to be said next about one of these.
        waiting_bytes: of these.
        asked_scan, asked_truth, asked_run: a mark of the last request for each that is still being
            worked on; None where there is none.
    """

    served: Path
    waiting: Path | None = None
    waiting_truth: Path | None = None
    answers: tuple[str, ...] = ()
    truth_answers: tuple[str, ...] = ()
    choice: Choice | None = None
    waiting_bytes: int = 0
    asked_scan: object | None = None
    asked_truth: object | None = None
    asked_run: object | None = None

    @property
    def scan(self) -> Volume | None:
        """The scan that is open."""
        return None

    @property
    def chooses_scan(self) -> bool:
        """Whether it has to be said which scan shall be opened."""
        return self.choice is not None and self.choice.question == Question.SCAN

    @property
    def chooses_truth(self) -> bool:
        """Whether something has to be said about a ground truth for this scan."""
        return self.choice is not None and self.choice.question in OF_TRUTH

    def without_waiting_truth(self: "S") -> "S":
        """The study without a ground truth that waits, and without what was asked about it."""
        choice = None if self.chooses_truth else self.choice
        return replace(self, waiting_truth=None, truth_answers=(), choice=choice)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: of voxels in memory, and of uploads that wait on the disk."""
        return self.waiting_bytes

    def opened(
        self,
        volume: Volume,
        truth: Segmentation | None,
        case: SyntheticCase | None,
        served: Path,
    ) -> "OpenedStudy":
        """The study of the same visitor with another scan; what waited for a choice is gone."""
        return OpenedStudy(
            served=served,
            waiting_truth=None if self.chooses_truth else self.waiting_truth,
            truth_answers=() if self.chooses_truth else self.truth_answers,
            waiting_bytes=self.waiting_bytes,
            volume=volume,
            truth=truth,
            case=case,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenedStudy(Study):
    """A scan.

    Attributes:
        volume: the scan.
        truth: the ground truth on the scan's grid, None where none was given.
        shown: what the viewer shows; None until something was packed for it.
        case: which synthetic case; None for an upload.
        counts_false: whether a truth without tumors says that there are none; see `find`.
    """

    volume: Volume
    truth: Segmentation | None = None
    counts_false: bool = False
    shown: dict | None = field(default=None, repr=False)
    case: SyntheticCase | None = None

    @property
    def scan(self) -> Volume:
        """See `Study`."""
        return self.volume

    @property
    def nbytes(self) -> int:
        """See `Study`."""
        truth = self.truth.nbytes if self.truth else 0
        return super().nbytes + self.volume.hu.nbytes + truth

    def with_truth(self, truth: Segmentation | None) -> "OpenedStudy":
        """The study with a ground truth, which nothing was scored against yet, or with none."""
        return replace(self, truth=truth, counts_false=False)

    def segmented(self, prediction: Segmentation) -> "SegmentedStudy":
        """The study with what the networks found, which nothing was measured of yet."""
        known = {one.name: getattr(self, one.name) for one in fields(OpenedStudy)}
        return SegmentedStudy(**known, prediction=prediction)


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentedStudy(OpenedStudy):
    """A scan in which the networks have found something.

    Attributes:
        prediction: what they found.
        findings: None until it was measured.
    """

    prediction: Segmentation
    findings: Findings | None = None

    @property
    def nbytes(self) -> int:
        """See `Study`."""
        return super().nbytes + self.prediction.nbytes

    def with_truth(self, truth: Segmentation | None) -> "SegmentedStudy":
        """See `OpenedStudy`."""
        findings = self.findings and replace(
            self.findings, truth=truth, truth_measurements=None, scores=None
        )
        return replace(self, truth=truth, counts_false=False, findings=findings)


class Basis:
    """What a step begins with. What it finds is of use only while all of that is still so.

    This is the one rule for what comes late: `Visitors.update` keeps nothing whose basis is gone,
    and `events` shows nothing of it.

    Args:
        study: at the beginning of the step.
        parts: attributes of `study` that the step depends on.
    """

    def __init__(self, study: Study | None, *parts: str):
        self._parts = {name: getattr(study, name, None) for name in parts}

    def holds(self, study: Study | None) -> bool:
        """Whether nothing of it has changed in the visitor's study as it is now."""
        return all(getattr(study, name, None) is part for name, part in self._parts.items())


ALWAYS = Basis(None)
S = TypeVar("S", bound=Study)


@dataclass
class Visitor:
    """One visitor while they are known.

    Attributes:
        address: that they come from.
        study: None until something of theirs has to be kept.
        seen: when an event of theirs last came, on the monotonic clock.
        used: when an event or a job of theirs last did anything.
        busy: events and jobs of theirs that are under way.
        replaced: served folders of the last scans before this one, and since when; see `update`.
        is_program: whether they keep no stream open, but wait for the answer.
    """

    address: str = ""
    study: Study | None = None
    seen: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    busy: int = 0
    replaced: list[tuple[Path, float]] = field(default_factory=list)
    is_program: bool = False


@dataclass
class _Stream:
    """The streams by which a tab says that it is there: how many, and when the last one ended."""

    open: int = 0
    ended: float = field(default_factory=time.monotonic)


class Visitors:
    """Who is here and what they have open.

    Args:
        served: a folder that the page serves files from; each scan gets one of its own in it.
        max_bytes: held for all visitors together.
        max_age_s: seconds without use after which a study is given up.
        grace_s: seconds without a stream or an event after which a visitor is gone.
    """

    def __init__(
        self,
        served: Path,
        max_bytes: int = MAX_STUDY_BYTES,
        max_age_s: float = MAX_AGE_S,
        grace_s: float = GRACE_S,
    ):
        self._served = served
        self._max_bytes, self._max_age_s, self._grace_s = max_bytes, max_age_s, grace_s
        self._known: OrderedDict[str, Visitor] = OrderedDict()  # by key, the last used at the end
        self._streams: dict[str, _Stream] = {}  # by id
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many studies are open."""
        return sum(visitor.study is not None for visitor in self._known.values())

    # Who is here

    @contextmanager
    def event(self, key: str, address: str = "", *, is_program: bool = False) -> Iterator[None]:
        """While an event or a job of a visitor is under way they are here, and in use.

        Args:
            key: the visitor's.
            address: that they come from.
            is_program: see `Visitor`.
        """
        with self._lock:
            visitor = self._known.setdefault(key, Visitor(is_program=is_program))
            visitor.address = address or visitor.address
            visitor.busy += 1
            visitor.seen = time.monotonic()
            self._touch(key, visitor)
        try:
            yield
        finally:
            with self._lock:
                visitor.busy -= 1
                visitor.used = time.monotonic()

    @contextmanager
    def stream(self, visitor_id: str) -> Iterator[None]:
        """While a tab keeps a stream open, its visitor is here."""
        with self._lock:
            self._streams.setdefault(visitor_id, _Stream()).open += 1
        try:
            yield
        finally:
            with self._lock:
                self._streams[visitor_id].open -= 1
                self._streams[visitor_id].ended = time.monotonic()

    def is_here(self, visitor_id: str) -> bool:
        """Whether a tab is there, or was until a moment ago."""
        with self._lock:
            stream = self._streams.get(visitor_id)
            if stream and (stream.open or time.monotonic() - stream.ended <= self._grace_s):
                return True
            return any(
                id_of(key) == visitor_id and time.monotonic() - one.seen <= self._grace_s
                for key, one in self._known.items()
            )

    def address(self, key: str) -> str:
        """That the visitor comes from; empty where nobody knows."""
        with self._lock:
            return self._known[key].address if key in self._known else ""

    # What they have open

    def of(self, key: str) -> Study | None:
        """The visitor's study, if anything of theirs was kept."""
        with self._lock:
            visitor = self._known.get(key)
            if visitor is None:
                return None
            self._touch(key, visitor)
            return visitor.study

    def begun(self, key: str) -> Study:
        """The visitor's study; an empty one, with a folder of its own, where there was none.

        Raises:
            Replaced: the work of this thread was stopped, as it is when its visitor has left.
        """
        if not is_wanted():
            raise Replaced(say("study.replaced"))
        with self._lock:
            visitor = self._known.setdefault(key, Visitor())
            if visitor.study is None:
                visitor.study = Study(served=new_folder(self._served))
            self._touch(key, visitor)
            self._give_up_over_limit(key)
            return visitor.study

    def ask(self, key: str, kind: str) -> Basis:
        """Notes a visitor's request; what is found for it is kept unless they ask for another.

        Args:
            key: the visitor's.
            kind: "asked_scan" or "asked_run", see `Study`.
        """
        self.begun(key)
        return Basis(self.update(key, lambda now: replace(now, **{kind: object()})), kind)

    def withdraw(self, key: str, kind: str, request: Basis = ALWAYS) -> bool:
        """Ends a visitor's request of a kind; whether one was still being worked on.

        Args:
            key: the visitor's.
            kind: see `ask`.
            request: only this one; any by default.
        """
        with self._lock:
            visitor = self._known.get(key)
            study = visitor.study if visitor else None
            if visitor is None or study is None or not request.holds(study):
                return False
            ended: dict[str, Any] = {kind: None}
            visitor.study = replace(study, **ended)
            return getattr(study, kind) is not None

    def update(self, key: str, change: Callable[[Any], S], basis: Basis = ALWAYS) -> S:
        """Changes the visitor's study.

        The files of a scan that another replaces are served for some seconds more: the tab fetches
        them until it hears of the new one.

        Args:
            key: the visitor's.
            change: from the study as it is now, of the kind that the step began with, to the new.
            basis: which the step began with.

        Returns:
            The new study.

        Raises:
            Replaced: the visitor has left meanwhile, the basis is gone, or the job was stopped.
            NoRoom: all memory is taken by scans in use; the study stays as it was.
        """
        with self._lock:
            visitor = self._known.get(key)
            study = visitor.study if visitor else None
            if visitor is None or study is None or not basis.holds(study) or not is_wanted():
                raise Replaced(say("study.replaced"))
            changed = _weighed(change(study))
            visitor.study = changed
            self._touch(key, visitor)
            try:
                self._give_up_over_limit(key)
            except NoRoom:
                visitor.study = study
                raise
            if changed.served != study.served:
                visitor.replaced.append((study.served, time.monotonic()))
                _remove_replaced(visitor, MOST_REPLACED)
            return changed

    def clear(self, key: str) -> Study:
        """Takes away all that the visitor has open; what is asked for is dropped too."""
        served = new_folder(self._served)
        before = self.begun(key)
        study = self.update(key, lambda _: Study(served=served))
        remove_folders(before.waiting, before.waiting_truth)
        return study

    def close(self, key: str) -> None:
        """Frees all that was the visitor's, in memory and on disk."""
        with self._lock:
            visitor = self._known.pop(key, None)
        if visitor:
            study = visitor.study
            if study:
                remove_folders(study.served, study.waiting, study.waiting_truth)
            _remove_replaced(visitor)

    def sweep(self, stop_work: Callable[[str], None] = lambda key: None) -> list[str]:
        """Frees what was left, and what nobody used for too long; returns whose it was.

        Args:
            stop_work: of a visitor, before their study is closed, or it could begin another.
        """
        now = time.monotonic()
        with self._lock:
            stale = [
                key
                for key, one in self._known.items()
                if now - one.used > self._max_age_s
                or not ((one.busy and one.is_program) or self.is_here(id_of(key)))
            ]
            old = [
                one
                for one, stream in self._streams.items()
                if not stream.open and now - stream.ended > self._grace_s
            ]
            for one in old:
                del self._streams[one]
            for visitor in self._known.values():
                recent = sum(now - since <= REPLACED_S for _, since in visitor.replaced)
                _remove_replaced(visitor, recent)
        for key in stale:
            stop_work(key)
            self.close(key)
        return stale

    def folders(self) -> set[Path]:
        """The served folders of all open studies, and of those replaced a moment ago."""
        with self._lock:
            known = list(self._known.values())
            replaced = {folder for one in known for folder, _ in one.replaced}
            return replaced | {one.study.served for one in known if one.study}

    def _touch(self, key: str, visitor: Visitor) -> None:
        visitor.used = time.monotonic()
        self._known.move_to_end(key)

    def _give_up_over_limit(self, newest: str) -> None:
        """Makes room for a study at the cost of those that nobody uses, or refuses it.

        An address that is over its share pays itself, so that it can displace nobody else, whatever
        it sends. Otherwise what is unused for longest at the address that takes most goes first.
        """
        while self._is_over_limit():
            others = {key: one for key, one in self._known.items() if one.study and key != newest}
            if not others:
                return  # a single study may be larger than all together
            idle = [key for key, one in others.items() if not self._is_in_use(key, one)]
            address = self._known[newest].address
            if not self._is_over_share(address):
                held = Counter[str]()
                for key in idle:
                    held[others[key].address] += _bytes_of(others[key])
                address = max(held, key=held.__getitem__, default="")
            given_up = next((key for key in idle if others[key].address == address), None)
            if given_up is None:
                raise NoRoom(say("study.no_room"))
            self.close(given_up)

    def _is_in_use(self, key: str, visitor: Visitor) -> bool:
        """Whether work is going on, or somebody looks at it in an open tab."""
        stream = self._streams.get(id_of(key))
        is_watched = stream is not None and stream.open > 0
        return visitor.busy > 0 or (is_watched and time.monotonic() - visitor.used < ACTIVE_S)

    def _is_over_limit(self) -> bool:
        studies = [one for one in self._known.values() if one.study]
        return len(studies) > MAX_STUDIES or sum(map(_bytes_of, studies)) > self._max_bytes

    def _is_over_share(self, address: str) -> bool:
        theirs = sum(bool(one.study) and one.address == address for one in self._known.values())
        return (
            theirs > SHARE_OF_ADDRESS * MAX_STUDIES
            or self._bytes(address) > SHARE_OF_ADDRESS * self._max_bytes
        )

    def _bytes(self, address: str) -> int:
        return sum(_bytes_of(one) for one in self._known.values() if one.address == address)


def _bytes_of(visitor: Visitor) -> int:
    return visitor.study.nbytes if visitor.study else 0


def _remove_replaced(visitor: Visitor, keep: int = 0) -> None:
    """Removes the files of the scans before this one, but for the last few."""
    last = len(visitor.replaced) - keep
    remove_folders(*(folder for folder, _ in visitor.replaced[: max(0, last)]))
    del visitor.replaced[: max(0, last)]


def new_folder(parent: Path) -> Path:
    """A folder under a name that nobody can guess."""
    folder = parent / secrets.token_hex(32)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def remove_folders(*folders: Path | None) -> None:
    """Removes those that there are, with all that is in them."""
    for folder in folders:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _weighed(study: S) -> S:
    """The study with the size of what waits in it."""
    folders = filter(None, (study.waiting, study.waiting_truth))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return replace(study, waiting_bytes=sum(path.stat().st_size for path in files))
