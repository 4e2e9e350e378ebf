"""What becomes of the networks' probabilities: one liver without holes, no specks of tumor.

Everything works on 8-bit probabilities in place, so that a mask is always `values >= threshold`:
what is removed becomes 0, what is filled 255.
"""

import cc3d
import cv2
import numpy as np
from scipy import ndimage

from ..volume import HU_MIN, bounding_box


def clean_liver(values: np.ndarray, threshold: int, reach: int) -> None:
    """Leaves nothing but the largest component, its holes filled.

    Args:
        values: (z, y, x) uint8, changed in place.
        threshold: 8-bit value of the mask.
        reach: pixels around the component in which values below the threshold are kept.
    """
    mask = values >= threshold
    if not mask.any():
        values[:] = 0
        return
    # 6-connected here stays connected when interpolated to a finer grid
    largest = cc3d.largest_k(mask, k=1, connectivity=6).astype(bool)
    within_reach = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    for z in range(len(values)):
        near = cv2.dilate(largest[z].view(np.uint8), within_reach).view(bool)
        values[z][~near | (mask[z] & ~largest[z])] = 0
    values[fill_holes(largest)] = 255


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The holes of a mask: background from which no path leads out, except through the scan's ends.

    Args:
        mask: (z, y, x) bool, not empty.

    Returns:
        bool, of the same shape: the holes alone.
    """
    z, y, x = bounding_box(mask)
    z = slice(max(z.start - 1, 0), z.stop + 1)
    background = np.pad(~mask[z, y, x], ((0, 0), (1, 1), (1, 1)), constant_values=True)
    parts = cc3d.connected_components(background, connectivity=6)
    holes = np.zeros_like(mask)
    holes[z, y, x] = (background & (parts != parts[0, 0, 0]))[:, 1:-1, 1:-1]
    return holes


def number_parts(mask: np.ndarray) -> np.ndarray:
    """Numbers the parts of a (z, y, x) mask that touch nowhere, not even at a corner."""
    # padded: cc3d 4.1 raises on boxes of a voxel's width that hold as many parts as they can
    return cc3d.connected_components(np.pad(mask, 1), connectivity=26)[1:-1, 1:-1, 1:-1]


def remove_doubtful(
    values: np.ndarray,
    threshold: int,
    voxels: int,
    peak: int,
    hu: np.ndarray | None = None,
    fluid_hu: int = HU_MIN,
) -> int:
    """Sets components to 0 that are small, nowhere sure, or as dark as cysts and bile.

    The tumor network sees the difference to the liver, which does not tell fluid from tumor.

    Args:
        values: (z, y, x) uint8, changed in place.
        threshold: 8-bit value of the mask.
        voxels: size of the smallest component to keep.
        peak: 8-bit value that one of its voxels must reach.
        hu: (z, y, x) int16; None where HU are not known.
        fluid_hu: a component whose median is this or less is fluid.

    Returns:
        How many components were left out for nothing but being dark.
    """
    mask = values >= threshold
    if not mask.any():
        return 0
    box = bounding_box(mask)
    inside = mask[box]
    components = number_parts(inside)[inside]
    sizes = np.bincount(components)
    numbers = np.arange(len(sizes))
    peaks = ndimage.maximum(values[box][inside], components, numbers)
    kept = (sizes >= voxels) & (peaks >= peak)
    fluid = np.zeros_like(kept)
    if hu is not None:
        fluid[1:] = ndimage.median(hu[box][inside], components, numbers[1:]) <= fluid_hu
    values[box][inside] *= (kept & ~fluid)[components]
    return int(np.count_nonzero(kept & fluid))
