"""Shapes of a phantom as signed distances in mm, negative inside.

Positions are (z, y, x) mm in LPS; 0 is the middle of the abdomen. The distances are exact or, for
ellipsoids and rounded seams, good to first order near the surface, which is where they matter.
Formulas after Inigo Quilez, "Distance functions".
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

Triple = tuple[float, float, float]  # (z, y, x)
Corners = Sequence[tuple[float, ...]] | np.ndarray  # (z, y, x, radius) each


class Points(NamedTuple):
    """Where voxels are: three float32 arrays (z, y, x) in mm that broadcast to one shape."""

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray


def ellipsoid(p: Points, center: Iterable[float], radii: tuple[float, ...]) -> np.ndarray:
    """An ellipsoid whose axes are the grid's."""
    return _scaled([axis - c for axis, c in zip(p, center, strict=True)], radii)


def ellipse(y: np.ndarray, x: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    """An elliptic cylinder along z through y = x = 0."""
    return _scaled([y, x], radii)


def _scaled(offsets: list[np.ndarray], radii: tuple[float, ...]) -> np.ndarray:
    """k0 (k0 - 1) / k1, where k0 is the offset in radii and k1 its gradient times k0."""
    squares = [(offset / radius) ** 2 for offset, radius in zip(offsets, radii, strict=True)]
    tiny = 1e-6  # at the very center, where the quotient is not defined
    k0 = np.sqrt(sum(squares) + tiny)
    slopes = sum(s * (1 / radius**2) for s, radius in zip(squares, radii, strict=True))
    return k0 * (k0 - 1) / np.sqrt(slopes + tiny / min(radii) ** 2)


def half_space(p: Points, point: Triple, normal: Triple) -> np.ndarray:
    """All that lies behind a plane; the normal points out of it."""
    unit = (np.asarray(normal) / np.linalg.norm(normal)).tolist()
    return sum((axis - c) * n for axis, c, n in zip(p, point, unit, strict=True))


def capsule(
    p: Points, start: np.ndarray, end: np.ndarray, start_radius: float, end_radius: float
) -> np.ndarray:
    """A rod with round ends whose radius changes along it."""
    along = [float(b - a) for a, b in zip(start, end, strict=True)]
    offsets = [axis - float(a) for axis, a in zip(p, start, strict=True)]
    length2 = max(sum(d * d for d in along), 1e-6)
    t = sum(o * (d / length2) for o, d in zip(offsets, along, strict=True))
    t = np.clip(t, 0, 1)
    square = sum((o - t * d) ** 2 for o, d in zip(offsets, along, strict=True))
    return np.sqrt(square) - (float(start_radius) + t * float(end_radius - start_radius))


def union(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """Both shapes, the seam between them filled."""
    h = np.maximum(round_mm - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * (0.25 / round_mm)


def common(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """What two shapes share, the edge rounded."""
    h = np.maximum(round_mm - np.abs(a - b), 0)
    return np.maximum(a, b) + h * h * (0.25 / round_mm)


def without(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """The first shape less the second, the edge rounded."""
    return common(a, -b, round_mm)


def smooth_step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below low, 1 above high (low may be the greater one), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_path(corners: Corners, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve through corners of (z, y, x, radius).

    Returns:
        (n, 3) positions about step_mm apart and (n,) radii.
    """
    corners = np.asarray(corners, float)
    lengths = np.linalg.norm(np.diff(corners[:, :3], axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])
    fine = np.linspace(0, at[-1], max(2, int(np.ceil(at[-1] / step_mm)) + 1))
    curve = CubicSpline(at, corners, bc_type="natural")(fine)
    return curve[:, :3], np.maximum(curve[:, 3], 0.3)
