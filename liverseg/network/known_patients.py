"""Whether a scan is of a patient on whom the networks were trained, whose scores flatter them.

Beside config.json lie the fingerprints of a few slices of each training patient: block means of the
liver's window, too coarse to show anything. Compared is by how much each block differs from those
around it, which survives windowing, thinning, flips and 8 bits. `training.known_patients` makes the
file and measures how far apart known and other patients lie.
"""

import base64
import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from .weights import FINGERPRINTS, weights_folder

GRID = 20  # blocks along each side of a slice
WINDOW_HU = (-40, 160)
AROUND = 5  # blocks along each side of what a block is compared with
SAME = 0.14  # distance (1 - correlation): known slices reach 0.10, other patients 0.20
MATCHES = 3  # slices that have to be known, where there are as many
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Of training slices.

    Attributes:
        blocks: (n, GRID, GRID) uint8, WINDOW_HU from 0 to 255.
    """

    blocks: np.ndarray
    _patterns: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_patterns", _patterns(self.blocks).T)

    def know(self, hu: np.ndarray) -> bool:
        """Whether a scan, (z, y, x) int16 HU, is of one of the patients."""
        return self.distance(hu) < SAME

    def distance(self, hu: np.ndarray) -> float:
        """How far a scan lies from the nearest patient: of its third most alike slice.

        Args:
            hu: (z, y, x) int16.
        """
        blocks = blocks_of(hu)
        alike = np.full(len(blocks), -1.0)
        for y, x in FLIPS:
            found = _patterns(blocks[:, ::y, ::x]) @ self._patterns
            alike = np.maximum(alike, found.max(axis=1))
        nearest = np.sort(1 - alike)[:MATCHES]
        return float(nearest[-1])


def blocks_of(hu: np.ndarray) -> np.ndarray:
    """(z, GRID, GRID) uint8 block means of the window, of (z, y, x) int16 HU."""
    low, high = WINDOW_HU
    found = np.empty((len(hu), GRID, GRID), np.uint8)
    for target, plane in zip(found, hu, strict=True):
        clipped = np.clip(plane, low, high).astype(np.float32)
        means = cv2.resize(clipped, (GRID, GRID), interpolation=cv2.INTER_AREA)
        target[...] = np.rint((means - low) * (255 / (high - low)))
    return found


def _patterns(blocks: np.ndarray) -> np.ndarray:
    """(n, GRID²) float32 of norm 1: each block against those around it; 0 for an empty slice."""
    around = [cv2.blur(one.astype(np.float32), (AROUND, AROUND)) for one in blocks]
    found = (blocks - np.array(around, np.float32)).reshape(len(blocks), -1)
    found -= found.mean(axis=1, keepdims=True)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def write_fingerprints(blocks: np.ndarray, folder: Path) -> Path:
    """Writes the file beside config.json; (n, GRID, GRID) uint8."""
    packed = base64.b64encode(zlib.compress(blocks.tobytes(), 9)).decode()
    stored = {"grid": GRID, "window_hu": WINDOW_HU, "slices": len(blocks), "blocks": packed}
    path = folder / FINGERPRINTS
    path.write_text(json.dumps(stored) + "\n", encoding="utf-8")
    return path


def known_patients() -> Fingerprints | None:
    """Those of the weights that are used; None where they have no file of this version."""
    return _read(weights_folder())


@lru_cache(maxsize=1)
def _read(folder: Path) -> Fingerprints | None:
    path = folder / FINGERPRINTS
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    if (stored["grid"], tuple(stored["window_hu"])) != (GRID, WINDOW_HU):
        return None
    flat = np.frombuffer(zlib.decompress(base64.b64decode(stored["blocks"])), np.uint8)
    return Fingerprints(flat.reshape(-1, GRID, GRID))
