"""The canvas on which a phantom is painted: coordinates in mm, shapes, soft edges.

Shapes are signed distances in mm, negative inside. Positions are (z, y, x) mm in LPS; 0 is the
middle of the abdomen. Everything random is defined in mm, never in voxels, so the same seed gives
the same anatomy on every grid.
"""

from typing import NamedTuple

import numpy as np

LATTICE = 32  # nodes per axis of a smooth random field, which repeats beyond them
BENDING_MM = 5.0  # how far the patient's anatomy is bent away from the ideal shapes


class Points(NamedTuple):
    """Where the voxels of a box are: three float32 arrays (z, y, x) in mm."""

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray


Box = tuple[slice, slice, slice]


class Field:
    """Smooth random values in space with mean 0 and standard deviation about 1.

    A cubic B-spline over a periodic lattice of normal numbers.
    """

    def __init__(self, rng: np.random.Generator, scale_mm: float):
        self.scale_mm = scale_mm
        self.nodes = rng.standard_normal((LATTICE,) * 3).astype(np.float32) * 2.1

    def on(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(z, y, x) float32 on the grid of three 1-D arrays of mm."""
        wz, wy, wx = (_spline_weights(axis / self.scale_mm) for axis in (z, y, x))
        values = np.tensordot(wz, self.nodes, axes=(1, 0))  # (z, lattice, lattice)
        values = np.matmul(wy, values)  # (z, y, lattice)
        return np.matmul(values, wx.T)


def _spline_weights(position: np.ndarray) -> np.ndarray:
    """(n, LATTICE) float32 weights of a periodic cubic B-spline."""
    base = np.floor(position).astype(int)
    t = position - base
    weights = np.zeros((len(position), LATTICE), np.float32)
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for offset, part in enumerate(parts):
        weights[np.arange(len(position)), (base + offset - 1) % LATTICE] += part / 6
    return weights


class Canvas:
    """HU on a working grid, and the bent coordinates in which organs are described.

    Attributes:
        axes: the grid's z, y, x in mm, 1-D.
        hu: (z, y, x) float32.
        points: bent coordinates of every voxel.
        lumps: a smooth field with details of about 10 mm, to make surfaces uneven.
        soft_mm: width of an edge.
    """

    def __init__(self, rng: np.random.Generator, axes: tuple[np.ndarray, ...]):
        self.axes = axes
        self.hu = np.full([len(axis) for axis in axes], -1000, np.float32)
        ideal = np.meshgrid(*[a.astype(np.float32) for a in axes], indexing="ij", sparse=True)
        bends = [Field(rng, 55.0).on(*axes) for _ in range(3)]
        self.points = Points(*(i + BENDING_MM * b / 2 for i, b in zip(ideal, bends, strict=True)))
        self.lumps = Field(rng, 9.0).on(*axes)
        self.soft_mm = float(abs(axes[2][1] - axes[2][0])) if len(axes[2]) > 1 else 1.0

    def box(self, center: tuple, reach: tuple | float, margin_mm: float = 16.0) -> Box:
        """The voxels within reach (z, y, x mm) of a centre, with room for the bending."""
        reach = np.broadcast_to(reach, 3) + margin_mm
        return tuple(
            slice(*np.searchsorted(axis, (c - r, c + r)))
            for axis, c, r in zip(self.axes, center, reach, strict=True)
        )

    def at(self, box: Box) -> Points:
        """The bent coordinates of a box."""
        return Points(*(p[box] for p in self.points))

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """How much of each voxel a shape covers, 0 to 1."""
        return np.clip(0.5 - distance / self.soft_mm, 0, 1)

    def paint(self, box: Box, distance: np.ndarray, hu: np.ndarray | float) -> None:
        """Puts a shape over what is there."""
        self.blend(box, self.cover(distance), hu)

    def blend(self, box: Box, cover: np.ndarray, hu: np.ndarray | float) -> None:
        """Puts a tissue over what is there, as opaque as `cover` says."""
        below = self.hu[box]
        below += cover * (hu - below)


def ellipsoid(p: Points, center: tuple, radii: tuple) -> np.ndarray:
    """Distance to an ellipsoid, first order (k0 (k0 - 1) / k1 after Quilez)."""
    offsets = [(axis - c) / r for axis, c, r in zip(p, center, radii, strict=True)]
    k0 = np.sqrt(sum(o * o for o in offsets))
    k1 = np.sqrt(sum((o / r) ** 2 for o, r in zip(offsets, radii, strict=True)))
    return k0 * (k0 - 1) / np.maximum(k1, 1e-6)


def half_space(p: Points, point: tuple, normal: tuple) -> np.ndarray:
    """Distance to a plane; outside is where the normal points."""
    unit = (np.asarray(normal) / np.linalg.norm(normal)).tolist()
    return sum((axis - c) * n for axis, c, n in zip(p, point, unit, strict=True))


def capsule(p: Points, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Distance to a rod from a to b whose radius goes from ra to rb."""
    along, a = (b - a).tolist(), a.tolist()
    length2 = max(sum(d * d for d in along), 1e-6)
    t = sum((axis - c) * (d / length2) for axis, c, d in zip(p, a, along, strict=True))
    t = np.clip(t, 0, 1)
    square = sum((axis - c - t * d) ** 2 for axis, c, d in zip(p, a, along, strict=True))
    return np.sqrt(square) - (ra + t * (rb - ra))


def union(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """Both shapes, their seam filled (polynomial smooth minimum after Quilez)."""
    h = np.maximum(round_mm - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h / (4 * round_mm)


def common(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """What both shapes cover, the edge rounded."""
    return -union(-a, -b, round_mm)


def without(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """The first shape minus the second, the edge rounded."""
    return common(a, -b, round_mm)
