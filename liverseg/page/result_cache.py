"""Segmentations by the scan's content: the one thing that visitors share.

Only someone who has the same voxels can look one up.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

from ..volume import Segmentation, Volume

MAX_RESULT_BYTES = 2**30


class ResultCache:
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
            total = sum(result.nbytes for result in self._kept.values())
            while total > self._max_bytes:
                _, given_up = self._kept.popitem(last=False)
                total -= given_up.nbytes


def content_key(volume: Volume, identity: str) -> Hashable:
    """What a segmentation depends on: the voxels, their spacing, the window and the weights."""
    digest = hashlib.blake2b(volume.hu.data.cast("B"), digest_size=32)
    return digest.digest(), volume.shape, volume.spacing, volume.windowed, identity
