"""Stored values to Hounsfield units, and whether they can be Hounsfield units at all."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import NotAScan
from ..sentences import say
from ..volume import HU_MAX, HU_MIN

PLAUSIBLE_HU = (-1100, 4000)
AIR_HU = -900  # a padding value below this cannot be tissue
SLOPES = (0.01, 100.0)
MAX_INTERCEPT = 40_000.0
TOO_HIGH, TOO_LOW = 0.05, 0.8  # shares of a scan; padding outside the circle is low and is 21 %
LEAST_RANGE_HU = 100  # fat and liver lie further apart
RAISED_HU = (700, 1400)  # soft tissue, where the offset of 1024 was not taken away
MOST_RAISED = 0.15  # share of a slice; bone has less
MAX_LABELS = 120  # distinct values a label map may have (TotalSegmentator has 118)


@dataclass(frozen=True)
class Rescale:
    """HU = slope * stored + intercept."""

    slope: float
    intercept: float

    @property
    def plausible(self) -> bool:
        """Whether any CT scanner could have written it."""
        return SLOPES[0] <= self.slope <= SLOPES[1] and abs(self.intercept) <= MAX_INTERCEPT


@dataclass(frozen=True)
class Padding:
    """Stored values that mean "nothing was measured here": low to high, both included."""

    low: int
    high: int


def padding_from(
    value: int, limit: int | None, *, signed: bool, bits_allocated: int, bits_stored: int
) -> tuple[Padding, ...]:
    """PixelPaddingValue and its range limit, read as the pixels are.

    Writers put an unsigned 63536 for a signed -2000, or the pattern of BitsStored only; all
    readings that the pixels could have are returned.
    """
    readings = []
    for bits in dict.fromkeys((bits_allocated, bits_stored)):
        ends = [_as_stored(end, bits, signed) for end in (value, value if limit is None else limit)]
        readings.append(Padding(min(ends), max(ends)))
    return tuple(dict.fromkeys(readings))


def _as_stored(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value


@dataclass
class Tally:
    """Counts of implausible voxels over the slices of a scan."""

    voxels: int = 0
    high: int = 0
    low: int = 0

    def add(self, hu: np.ndarray) -> None:
        """Counts HU before they are clipped."""
        self.voxels += hu.size
        self.high += int(np.count_nonzero(hu > PLAUSIBLE_HU[1]))
        self.low += int(np.count_nonzero(hu < PLAUSIBLE_HU[0]))

    def check(self) -> None:
        """NotAScan where too many values lie outside what CT can measure."""
        if self.high > TOO_HIGH * self.voxels or self.low > TOO_LOW * self.voxels:
            raise NotAScan(say("hu.implausible", low=PLAUSIBLE_HU[0], high=PLAUSIBLE_HU[1]))


def to_hu(
    stored: np.ndarray, rescale: Rescale, padding: tuple[Padding, ...], tally: Tally
) -> np.ndarray:
    """One slice, (rows, columns) of stored values, as int16 HU in [-1024, 3071].

    Padding is replaced before rescaling; the rest is counted in `tally` before clipping.
    """
    hu = stored.astype(np.float32) * np.float32(rescale.slope) + np.float32(rescale.intercept)
    for value in padding:
        hu[_padded(stored, value, rescale)] = HU_MIN
    tally.add(hu)
    return clipped(hu)


def clipped(hu: np.ndarray) -> np.ndarray:
    """Float HU as int16 in [-1024, 3071]; what is not a number becomes air."""
    hu = np.rint(np.clip(hu, HU_MIN, HU_MAX))
    hu[np.isnan(hu)] = HU_MIN
    return hu.astype(np.int16)


def _padded(stored: np.ndarray, padding: Padding, rescale: Rescale) -> np.ndarray:
    """Where a slice is padding, bool (rows, columns).

    A padding value that tissue can have too (files with PixelPaddingValue 0 and HU stored as such
    exist) counts only where it is connected with the slice's border.
    """
    inside = (stored >= padding.low) & (stored <= padding.high)
    if rescale.slope * padding.high + rescale.intercept <= AIR_HU or not inside.any():
        return inside
    regions, count = ndimage.label(inside)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    touches = np.zeros(count + 1, bool)
    touches[border] = True
    touches[0] = False
    return touches[regions]


def check_range(hu: np.ndarray) -> None:
    """NotAScan where int16 values, stored without an offset, cannot be of a body.

    With an offset they are what a scanner wrote, and may show a detail without fat and air.
    """
    low, high = int(hu.min()), int(hu.max())
    if low >= 0 or high - low < LEAST_RANGE_HU:
        raise NotAScan(say("hu.range", low=low, high=high))


def check_offset(slices: Iterable[np.ndarray]) -> None:
    """NotAScan where int16 values, stored without an offset, lie as high as scanners store them."""
    low, high = RAISED_HU
    for plane in slices:
        some = plane[::2, ::2]
        if np.count_nonzero((some >= low) & (some <= high)) > MOST_RAISED * some.size:
            raise NotAScan(say("hu.offset"))


def looks_like_labels(slices: Iterable[np.ndarray]) -> bool:
    """Whether int16 values in the range of HU are a mask or a label map instead of an image.

    A CT has values below 0 (air, fat) and hundreds of different ones; most scans are known for
    what they are after one slice.
    """
    seen = np.zeros(HU_MAX - HU_MIN + 1, bool)
    voxels = 0
    for plane in slices:
        seen[plane - HU_MIN] = True
        voxels += plane.size
        if np.count_nonzero(seen) > MAX_LABELS:
            return False
    values = np.flatnonzero(seen) + HU_MIN
    if len(values) <= 2:
        return bool(values[0] >= 0 or (len(values) == 2 and values[1] <= AIR_HU))
    return bool(values[0] >= 0 and voxels >= 100 * len(values))
