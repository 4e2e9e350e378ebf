"""What the visitors have open: one study each, bounded in bytes and age, freed when they leave.

Nothing here is shared between visitors.
"""

import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Replaced
from ..scores.findings import Findings
from ..sentences import say
from ..volume import Segmentation, Volume
from .synthetic_case import SyntheticCase

MAX_STUDY_BYTES = 4 * 2**30  # of the 16 GB of a small Space
MAX_STUDIES = 200
MAX_AGE_S = 60 * 60
GRACE_S = 20  # a connection may break and come back; a closed tab does not
LATE_S = 5  # an event that was on its way when its tab was closed arrives within these
SHARED_LIMIT = (
    "Each tab counts as a visitor with one scan at a time: a new scan takes the place of the last. "
    f"All visitors' scans together may take {MAX_STUDY_BYTES // 10**9} GB of memory; those unused "
    "for longest are given up first."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """What one visitor has open: no scan yet. A new one replaces it at every step.

    Attributes:
        folder: for this visitor's uploads until they are read.
        served: for the files his browser fetches. Both are removed together with the study.
        waiting, waiting_truth: folders of uploads that are not read yet: one with several series
            until one is chosen, a ground truth until its scan is here.
        waiting_bytes: of these.
    """

    folder: Path
    served: Path
    waiting: Path | None = None
    waiting_truth: Path | None = None
    waiting_bytes: int = 0

    @property
    def scan(self) -> Volume | None:
        """The scan that is open."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: of voxels in memory, and of uploads that wait on the disk."""
        return self.waiting_bytes

    def opened(
        self, volume: Volume, truth: Segmentation | None, case: SyntheticCase | None
    ) -> "OpenedStudy":
        """The study of the same visitor with another scan; what waited for a choice is gone."""
        return OpenedStudy(
            folder=self.folder,
            served=self.served,
            waiting_truth=self.waiting_truth,
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


class Studies:
    """The open studies by visitor, the least recently used given up first.

    Args:
        folder, served: in which each visitor gets a folder of his own; the second is one that
            the page serves files from.
        max_bytes: held for all visitors together; the newest study always stays.
        max_age_s: seconds without use after which a study is given up.
        grace_s: seconds after `leave` until a study is given up.
        late_s: seconds after `leave` in which an event that begins does not mean a return.
    """

    def __init__(
        self,
        folder: Path,
        served: Path,
        max_bytes: int = MAX_STUDY_BYTES,
        max_age_s: float = MAX_AGE_S,
        grace_s: float = GRACE_S,
        late_s: float = LATE_S,
    ):
        self._folder, self._served = folder, served
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._grace_s, self._late_s = grace_s, late_s
        self._left: dict[str, float] = {}  # when; kept after his study is freed
        self._open: OrderedDict[str, tuple[float, Study]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._open)

    def of(self, visitor: str) -> Study:
        """The visitor's study; an empty one at first."""
        with self._lock:
            _, study = self._open.pop(visitor, (0.0, None))
            study = study or Study(folder=new_folder(self._folder), served=new_folder(self._served))
            self._open[visitor] = (time.monotonic(), study)
            self._give_up_over_limit()
            return study

    def enter(self, visitor: str) -> Study:
        """The visitor's study at the beginning of an event: if he seemed to be gone, he is back."""
        with self._lock:
            if time.monotonic() - self._left.get(visitor, 0.0) > self._late_s:
                self._left.pop(visitor, None)
            return self.of(visitor)

    def update(self, visitor: str, change: Callable[[Any], S], scan: object = ANY_SCAN) -> S:
        """Changes the visitor's study.

        Args:
            visitor: whose.
            change: from the study as it is now, of the kind that the step began with, to the new.
            scan: which the step began with, where what it found is of that scan only.

        Returns:
            The new study.

        Raises:
            Replaced: the visitor has left meanwhile, or another scan is open.
        """
        with self._lock:
            _, study = self._open.get(visitor, (0.0, None))
            if study is None or (scan is not ANY_SCAN and study.scan is not scan):
                raise Replaced(say("study.replaced"))
            changed = _weighed(change(study))
            self._open[visitor] = (time.monotonic(), changed)
            self._open.move_to_end(visitor)
            self._give_up_over_limit()
            return changed

    def leave(self, visitor: str) -> None:
        """The visitor seems to be gone; unless he comes back `sweep` frees what was his.

        Also what his events leave behind that are still under way or only just begin.
        """
        with self._lock:
            self._left[visitor] = time.monotonic()

    def close(self, visitor: str) -> None:
        """Frees all that was the visitor's, in memory and on disk."""
        with self._lock:
            _, study = self._open.pop(visitor, (0.0, None))
        if study:
            shutil.rmtree(study.folder, ignore_errors=True)
            shutil.rmtree(study.served, ignore_errors=True)

    def sweep(self) -> None:
        """Frees what was left, and what nobody used for too long."""
        now = time.monotonic()
        with self._lock:
            unused = {visitor for visitor, (used, _) in self._open.items() if self._is_old(used)}
            gone = {one for one, left in self._left.items() if now - left > self._grace_s}
            stale = unused | (gone & self._open.keys())
            self._left = {one: left for one, left in self._left.items() if not self._is_old(left)}
        for visitor in stale:
            self.close(visitor)

    def _is_old(self, since: float) -> bool:
        return time.monotonic() - since > self._max_age_s

    def _give_up_over_limit(self) -> None:
        total = sum(study.nbytes for _, study in self._open.values())
        for visitor, (_, study) in list(self._open.items())[:-1]:
            if total <= self._max_bytes and len(self._open) <= MAX_STUDIES:
                return
            total -= study.nbytes
            self.close(visitor)

    def folders(self) -> set[Path]:
        """The served folders of all open studies."""
        with self._lock:
            return {study.served for _, study in self._open.values()}


def new_folder(parent: Path) -> Path:
    """A folder under a name that nobody can guess."""
    folder = parent / secrets.token_hex(32)
    folder.mkdir(mode=0o700)
    return folder


def _weighed(study: S) -> S:
    """The study with the size of what waits in it."""
    folders = filter(None, (study.waiting, study.waiting_truth))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return replace(study, waiting_bytes=sum(path.stat().st_size for path in files))
