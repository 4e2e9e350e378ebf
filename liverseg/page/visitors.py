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
from ..reading.choice import Choice, Question
from ..scores.findings import Findings
from ..sentences import say
from ..volume import Segmentation, Volume
from .synthetic_case import SyntheticCase

MAX_STUDY_BYTES = 4 * 2**30  # of the 16 GB of a small Space
MAX_STUDIES = 200
MAX_AGE_S = 60 * 60
ACTIVE_S = 10 * 60  # without an event; somebody may look at a scan for long
SHARE_OF_ADDRESS = 0.75  # of all studies, far above a class of thirty behind one router
GRACE_S = 45  # a connection may break for half a minute; a closed tab does not come back
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
        served: folder for the files that their browser fetches.
        waiting, waiting_truth: folders of uploads that are not done with: a scan until a person has
            chosen what it is, and whether masks beside it are its ground truth; a ground truth
            until its scan is here, or what it is is chosen. All three are removed together with the
            study.
        answers, truth_answers: what was said about these.
        asked: what has to be said next about one of these.
        waiting_bytes: of these.
    """

    served: Path
    waiting: Path | None = None
    waiting_truth: Path | None = None
    answers: tuple[str, ...] = ()
    truth_answers: tuple[str, ...] = ()
    asked: Choice | None = None
    waiting_bytes: int = 0

    @property
    def scan(self) -> Volume | None:
        """The scan that is open."""
        return None

    @property
    def asked_of_scan(self) -> bool:
        """Whether what is asked is which scan shall be opened."""
        return self.asked is not None and self.asked.question == Question.SCAN

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: of voxels in memory, and of uploads that wait on the disk."""
        return self.waiting_bytes

    def opened(
        self, volume: Volume, truth: Segmentation | None, case: SyntheticCase | None
    ) -> "OpenedStudy":
        """The study of the same visitor with another scan; what waited for a choice is gone."""
        waits = self.scan is None  # else it was for the scan before
        return OpenedStudy(
            served=self.served,
            waiting_truth=self.waiting_truth if waits else None,
            truth_answers=self.truth_answers if waits else (),
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
    """

    volume: Volume
    truth: Segmentation | None = None
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

    def with_truth(self, truth: Segmentation) -> "OpenedStudy":
        """The study with a ground truth, which nothing was scored against yet."""
        return replace(self, truth=truth)

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

    def with_truth(self, truth: Segmentation) -> "SegmentedStudy":
        """See `OpenedStudy`."""
        findings = self.findings and replace(
            self.findings, truth=truth, truth_measurements=None, scores=None
        )
        return replace(self, truth=truth, findings=findings)


S = TypeVar("S", bound=Study)
ANY_SCAN = object()


@dataclass
class Visitor:
    """One visitor while they are known.

    Attributes:
        address: that they come from.
        study: None until something of theirs has to be kept.
        seen: when an event of theirs last came, on the monotonic clock.
        used: when an event or a job of theirs last did anything.
        busy: events and jobs of theirs that are under way.
        is_program: whether they keep no stream open, but wait for the answer.
    """

    address: str = ""
    study: Study | None = None
    seen: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    busy: int = 0
    is_program: bool = False


@dataclass
class _Stream:
    """The streams by which a tab says that it is there: how many, and when the last one ended."""

    open: int = 0
    ended: float = field(default_factory=time.monotonic)


class Visitors:
    """Who is here and what they have open.

    Args:
        served: a folder that the page serves files from; each visitor gets one of their own in it.
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
        """The visitor's study; an empty one, with a folder of its own, where there was none."""
        with self._lock:
            visitor = self._known.setdefault(key, Visitor())
            if visitor.study is None:
                visitor.study = Study(served=new_folder(self._served))
            self._touch(key, visitor)
            self._give_up_over_limit(key)
            return visitor.study

    def update(self, key: str, change: Callable[[Any], S], scan: object = ANY_SCAN) -> S:
        """Changes the visitor's study.

        Args:
            key: the visitor's.
            change: from the study as it is now, of the kind that the step began with, to the new.
            scan: which the step began with, where what it found is of that scan only.

        Returns:
            The new study.

        Raises:
            Replaced: the visitor has left meanwhile, or another scan is open.
            NoRoom: all memory is taken by scans in use; the study stays as it was.
        """
        with self._lock:
            visitor = self._known.get(key)
            study = visitor.study if visitor else None
            if (
                visitor is None
                or study is None
                or (scan is not ANY_SCAN and study.scan is not scan)
            ):
                raise Replaced(say("study.replaced"))
            changed = _weighed(change(study))
            visitor.study = changed
            self._touch(key, visitor)
            try:
                self._give_up_over_limit(key)
            except NoRoom:
                visitor.study = study
                raise
            return changed

    def close(self, key: str) -> None:
        """Frees all that was the visitor's, in memory and on disk."""
        with self._lock:
            visitor = self._known.pop(key, None)
        if visitor:
            _remove(visitor.study)

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
        for key in stale:
            stop_work(key)
            self.close(key)
        return stale

    def folders(self) -> set[Path]:
        """The served folders of all open studies."""
        with self._lock:
            return {one.study.served for one in self._known.values() if one.study}

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


def _remove(study: Study | None) -> None:
    for folder in (study.served, study.waiting, study.waiting_truth) if study else ():
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def new_folder(parent: Path) -> Path:
    """A folder under a name that nobody can guess."""
    folder = parent / secrets.token_hex(32)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _weighed(study: S) -> S:
    """The study with the size of what waits in it."""
    folders = filter(None, (study.waiting, study.waiting_truth))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return replace(study, waiting_bytes=sum(path.stat().st_size for path in files))
