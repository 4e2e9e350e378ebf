"""The long and the short axis of a lesion on axial slices, as RECIST 1.1 measures them.

A pixel is as large as it is: an axis ends at pixel edges (as PyRadiomics' mesh does), so that a row
of n pixels is n pixels long.
"""

import cv2
import numpy as np

Point = tuple[float, float, float]  # (z, y, x) in voxels; whole numbers are voxel centers
Line = tuple[Point, Point]

PIXEL_EDGES = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])  # (y, x) from the center
STEPS_PER_PIXEL = 4  # how finely the short axis is searched


def lesion_axes(mask: np.ndarray, pixel_mm: tuple[float, float]) -> tuple[Line, Line]:
    """The long axis on the slice where it is longest, and the short axis across it there.

    Args:
        mask: (z, y, x) bool, not empty.
        pixel_mm: (y, x) size of a pixel.

    Returns:
        Long and short axis, end points in voxels of the mask.
    """
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    lines = {int(z): long_axis(mask[z], pixel_mm) for z in slices}
    z = max(lines, key=lambda z: length_mm(lines[z], pixel_mm))
    across = short_axis(mask[z], lines[z], pixel_mm)
    return _on_slice(z, lines[z]), _on_slice(z, across)


def length_mm(line: Line | np.ndarray, pixel_mm: tuple[float, float]) -> float:
    """Length of a line given by its (y, x) or (z, y, x) end points in voxels, within a slice."""
    (y0, x0), (y1, x1) = (point[-2:] for point in line)
    return float(np.hypot((y1 - y0) * pixel_mm[0], (x1 - x0) * pixel_mm[1]))


def long_axis(mask: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """The longest line between two edge points of a (y, x) bool mask.

    It may leave the mask where that is concave. The farthest two points lie on the convex hull.

    Returns:
        (2, 2) float, both (y, x) end points in pixels.
    """
    hull = cv2.convexHull(np.argwhere(mask).astype(np.int32))[:, 0]
    points = (hull[:, None] + PIXEL_EDGES).reshape(-1, 2)
    points_mm = points * pixel_mm
    square_mm2 = ((points_mm[:, None] - points_mm[None]) ** 2).sum(axis=2)
    return points[list(np.unravel_index(square_mm2.argmax(), square_mm2.shape))]


def short_axis(mask: np.ndarray, axis: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """The longest line perpendicular to the long axis that stays inside a (y, x) bool mask.

    Found on a grid turned along the axis, a quarter of a pixel apart.

    Returns:
        (2, 2) float, both (y, x) end points in pixels.
    """
    start_mm, end_mm = axis * pixel_mm
    length = np.linalg.norm(end_mm - start_mm)
    along = (end_mm - start_mm) / length
    across = np.array([-along[1], along[0]])
    step_mm = min(pixel_mm) / STEPS_PER_PIXEL
    half = int(np.ceil(length / step_mm)) + 1  # no chord is longer than the long axis
    rows = (np.arange(half) + 0.5) * step_mm
    columns = (np.arange(-half, half) + 0.5) * step_mm
    grid_mm = start_mm + rows[:, None, None] * along + columns[None, :, None] * across
    row, first, stop = _longest_run(_sampled(mask, grid_mm / pixel_mm))
    half_step_mm = across * step_mm / 2
    ends_mm = grid_mm[row, first] - half_step_mm, grid_mm[row, stop - 1] + half_step_mm
    return np.array(ends_mm) / pixel_mm


def _sampled(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The (y, x) mask's values at (..., 2) points in pixels; False outside."""
    y, x = np.moveaxis(np.rint(points).astype(int), -1, 0)
    inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    return inside & mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)]


def _longest_run(inside: np.ndarray) -> tuple[int, int, int]:
    """Row, first column and column after the last of the longest run of True in a row."""
    padded = np.pad(inside, ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(padded, axis=1)
    starts, stops = np.argwhere(steps == 1), np.argwhere(steps == -1)
    longest = (stops - starts)[:, 1].argmax()
    return int(starts[longest, 0]), int(starts[longest, 1]), int(stops[longest, 1])


def _on_slice(z: int, line: np.ndarray) -> Line:
    start, end = ((float(z), float(y), float(x)) for y, x in line)
    return start, end
