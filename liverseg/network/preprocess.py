"""CT slices to network input, and the exact inverse for what the network says.

Both networks see a square of the slice: the liver network all of it, the tumor network the
liver's box. `to_network` and `from_network` are an inverse pair on any such square.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from ..volume import Spacing, Volume
from .recipe import Recipe


class Square(NamedTuple):
    """A square of a slice in pixels; it may reach over the slice's edge, where there is air."""

    y: int
    x: int
    side: int

    def moved(self, y: int, x: int) -> "Square":
        """The same square elsewhere."""
        return self._replace(y=self.y + y, x=self.x + x)


def whole_slice(shape_yx: tuple[int, int]) -> Square:
    """The smallest centered square that holds the whole slice."""
    height, width = shape_yx
    side = max(height, width)
    return Square((height - side) // 2, (width - side) // 2, side)


def around(mask: np.ndarray, margin: int) -> Square:
    """The smallest square around a mask.

    Args:
        mask: (z, y, x) bool, not empty.
        margin: pixels added on every side.
    """
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    height = rows[-1] - rows[0] + 1
    width = columns[-1] - columns[0] + 1
    side = int(max(height, width)) + 2 * margin
    return Square(
        int(rows[0] + rows[-1] + 1 - side) // 2, int(columns[0] + columns[-1] + 1 - side) // 2, side
    )


def tumor_square(liver: np.ndarray, spacing: Spacing | None, recipe: Recipe) -> Square:
    """What the tumor network sees of every slice: the liver with its margin.

    Args:
        liver: (z, y, x) bool, not empty.
        spacing: the scan's.
        recipe: for the margin in mm.
    """
    spacing = spacing or recipe.assumed_spacing
    return around(liver, round(recipe.tumor_margin_mm / min(spacing.y, spacing.x)))


def neighbor_step(spacing: Spacing | None, recipe: Recipe) -> int:
    """How many slices away the neighbor channels are."""
    if spacing is None or spacing.z is None:
        return 1
    return max(1, round(recipe.neighbor_mm / spacing.z))


def tumor_window(liver_hu: np.ndarray, recipe: Recipe) -> tuple[int, int]:
    """The window of the tumor network: `Recipe.tumor_window_hu` around the liver's median.

    Args:
        liver_hu: (n,) int16 of the liver's voxels, at least one.
        recipe: for the window.

    Returns:
        (low, high) HU.
    """
    middle = int(np.median(liver_hu))
    low, high = recipe.tumor_window_hu
    return middle + low, middle + high


class Part(NamedTuple):
    """Rows and columns of the network's grid: what of a slice it looks at."""

    y: slice
    x: slice


def whole_grid(recipe: Recipe) -> Part:
    """All of it."""
    return Part(slice(0, recipe.size), slice(0, recipe.size))


def part_around(box: Sequence[slice], margin: int, within: Part, recipe: Recipe) -> Part:
    """A box with a margin, in whole pixels of the network's coarsest stage.

    Args:
        box: (y, x) in pixels of the network's grid, perhaps fractions of them.
        margin: pixels added on every side.
        within: the part that is not left.
        recipe: for the network's depth.
    """
    coarsest = recipe.coarsest

    def extent(inner: slice, outer: slice) -> slice:
        first = math.floor((inner.start - margin) / coarsest) * coarsest
        end = math.ceil((inner.stop + margin) / coarsest) * coarsest
        return slice(max(outer.start, first), min(outer.stop, end))

    return Part(*map(extent, box, within))


def to_network(hu: np.ndarray, square: Square, size: int, window_hu: tuple[int, int]) -> np.ndarray:
    """One slice as one channel of network input.

    Args:
        hu: (y, x) int16.
        square: the part of it to show.
        size: side of the result in pixels.
        window_hu: (low, high), mapped to [0, 1].

    Returns:
        (size, size) float32 in [0, 1].
    """
    low, high = window_hu
    whole = square == whole_slice(hu.shape) and hu.shape[0] == hu.shape[1]
    gray = np.clip(hu if whole else cut(hu, square, fill=low), low, high).astype(np.float32)
    method = cv2.INTER_AREA if square.side > size else cv2.INTER_LINEAR
    resized = cv2.resize(gray, (size, size), interpolation=method)
    resized -= low
    resized /= high - low
    return resized


class NetworkInput:
    """The slices of a scan as one network sees them, each with its two neighbors.

    Where a neighbor is missing the first or last slice repeats itself, so that a lone picture is
    shown three times.
    """

    def __init__(
        self,
        volume: Volume,
        square: Square,
        recipe: Recipe,
        window_hu: tuple[int, int] | None = None,
    ):
        """Looks at a square of every slice, through `Recipe.window_hu` or another window."""
        self._last = volume.shape[0] - 1
        self._step = neighbor_step(volume.spacing, recipe)
        # neighbors are shared: keep what a few batches need, not the scan
        self._channel = lru_cache(maxsize=64)(
            lambda z: to_network(volume.hu[z], square, recipe.size, window_hu or recipe.window_hu)
        )

    def batch(self, z: Iterable[int]) -> np.ndarray:
        """(n, size, size, 3) float32 in [0, 1] of n slices."""
        return np.stack([self._image(int(k)) for k in z])

    def _image(self, z: int) -> np.ndarray:
        near = max(z - self._step, 0), z, min(z + self._step, self._last)
        return np.stack([self._channel(k) for k in near], axis=-1)


def from_network(output: np.ndarray, square: Square, shape_yx: tuple[int, int]) -> np.ndarray:
    """Puts one slice of network output back on the scan's grid; 0 outside the square.

    Args:
        output: (size, size) float32 or uint8.
        square: as given to `to_network`.
        shape_yx: of the scan's slices.

    Returns:
        shape_yx, of output's dtype.
    """
    side = square.side
    large = cv2.resize(output, (side, side), interpolation=cv2.INTER_LINEAR)
    return cut(large, Square(-square.y, -square.x, 0), fill=0, shape=shape_yx)


def cut(
    image: np.ndarray, square: Square, fill: int, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """The part of an image that begins at (square.y, square.x); `fill` where it has none.

    Args:
        image: (y, x).
        square: where to begin and, unless `shape` says otherwise, how much.
        shape: (y, x) of the result.
    """
    height, width = shape or (square.side, square.side)
    result = np.full((height, width), fill, image.dtype)
    top, left = max(0, square.y), max(0, square.x)
    bottom = min(image.shape[0], square.y + height)
    right = min(image.shape[1], square.x + width)
    if top < bottom and left < right:
        result[top - square.y : bottom - square.y, left - square.x : right - square.x] = image[
            top:bottom, left:right
        ]
    return result
