"""What the visitors have open: one study each, bounded in bytes and age, freed when they leave.

Nothing here is shared between visitors but the results of equal scans, which only someone who has
the same voxels can look up.
"""

import hashlib
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..volume import Segmentation, Volume
from .synthetic_case import Case

if TYPE_CHECKING:
    from ..scores.measurements import Measurements
    from ..scores.metrics import Scores

MAX_STUDY_BYTES = 4 * 2**30  # of the 16 GB of a small Space
MAX_RESULT_BYTES = 2**30
MAX_STUDIES = 200
MAX_AGE_S = 60 * 60
GRACE_S = 20  # a connection may break and come back; a closed tab does not
LATE_S = 5  # an event that was on its way when its tab was closed arrives within these
SHARED_LIMIT = (
    "Every tab counts as a visitor, who has one scan at a time: a new one takes the place of the "
    f"last. All visitors' scans together may take {MAX_STUDY_BYTES // 10**9} GB of memory; those "
    "longest unused are given up first."
)


@dataclass(frozen=True, eq=False)
class Study:
    """One visitor's scan and all that was found in it; a new one replaces it at every step.

    Attributes:
        folder: for this visitor's uploads until they are read.
        served: for the files his browser fetches. Both are removed together with the study.
        volume: the scan, None until one was read.
        truth: the ground truth on the scan's grid, None where none was given.
        prediction: what the networks found, None until they ran.
        measurements, truth_measurements, scores: None until computed.
        shown: what the viewer shows.
        case: which synthetic case; None for an upload.
        waiting, waiting_truth: folders of uploads that are not read yet: one with several series
            until one is chosen, a ground truth until its scan is here.
        waiting_bytes: of these.
    """

    folder: Path
    served: Path
    volume: Volume | None = None
    truth: Segmentation | None = None
    prediction: Segmentation | None = None
    measurements: "Measurements | None" = field(default=None, repr=False)
    truth_measurements: "Measurements | None" = field(default=None, repr=False)
    scores: "Scores | None" = field(default=None, repr=False)
    shown: dict | None = field(default=None, repr=False)
    case: Case | None = None
    waiting: Path | None = None
    waiting_truth: Path | None = None
    waiting_bytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that it holds: of voxels in memory, and of uploads that wait on the disk."""
        volume = self.volume.hu.nbytes if self.volume else 0
        return volume + _nbytes(self.truth) + _nbytes(self.prediction) + self.waiting_bytes


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
            study = study or Study(_new_folder(self._folder), _new_folder(self._served))
            self._open[visitor] = (time.monotonic(), study)
            self._give_up_over_limit()
            return study

    def enter(self, visitor: str) -> Study:
        """The visitor's study at the beginning of an event: if he seemed to be gone, he is back."""
        with self._lock:
            if time.monotonic() - self._left.get(visitor, 0.0) > self._late_s:
                self._left.pop(visitor, None)
            return self.of(visitor)

    def update(self, visitor: str, **changes) -> Study:
        """Replaces fields of the visitor's study; without effect if he has left meanwhile."""
        with self._lock:
            if visitor not in self._open:
                return replace(Study(self._folder, self._served), **changes)
            _, study = self._open.pop(visitor)
            study = replace(study, **changes)
            if not changes.keys().isdisjoint(("waiting", "waiting_truth")):
                found = sum(map(_folder_bytes, (study.waiting, study.waiting_truth)))
                study = replace(study, waiting_bytes=found)
            self._open[visitor] = (time.monotonic(), study)
            self._give_up_over_limit()
            return self._open[visitor][1]

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


class Results:
    """Segmentations by the scan's content, so that a class with one case waits for one.

    Args:
        max_bytes: of all results together; the least recently used is given up first.
    """

    def __init__(self, max_bytes: int = MAX_RESULT_BYTES):
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Segmentation] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Segmentation | None:
        """The result kept under a key of `content_key`, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, result: Segmentation) -> None:
        """Keeps a result; larger ones than the limit are not kept."""
        with self._lock:
            self._kept[key] = result
            self._kept.move_to_end(key)
            total = sum(map(_nbytes, self._kept.values()))
            while total > self._max_bytes:
                _, given_up = self._kept.popitem(last=False)
                total -= _nbytes(given_up)


def _new_folder(parent: Path) -> Path:
    """A folder under a name that nobody can guess."""
    folder = parent / secrets.token_hex(32)
    folder.mkdir(mode=0o700)
    return folder


def _folder_bytes(folder: Path | None) -> int:
    files = folder.rglob("*") if folder else ()
    return sum(path.stat().st_size for path in files if path.is_file())


def content_key(volume: Volume, identity: str) -> Hashable:
    """What a segmentation depends on: the voxels, their spacing, the window and the weights."""
    digest = hashlib.blake2b(memoryview(volume.hu).cast("B"), digest_size=32)
    return digest.digest(), volume.shape, volume.spacing, volume.windowed, identity


def _nbytes(segmentation: Segmentation | None) -> int:
    if segmentation is None:
        return 0
    maps = (segmentation.liver_probability, segmentation.tumor_probability)
    return segmentation.labels.nbytes + sum(p.values.nbytes for p in maps if p is not None)
