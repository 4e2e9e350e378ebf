"""The canvas on which a phantom is painted.

Everything random is defined in mm, never in voxels, so a seed means the same patient on every grid.
"""

from collections.abc import Sequence

import numpy as np

from ..volume import Box, as_box
from .shapes import Points, Triple, capsule

LATTICE = 32  # nodes per axis of a smooth random field, which repeats beyond them
BEND_MM = 3.5  # standard deviation of how far anatomy is bent away from the ideal shapes

FAR_MM = 99.0  # distance where none was computed

EVERYWHERE: Box = (slice(None), slice(None), slice(None))


class Field:
    """Smooth random values in space, mean 0 and standard deviation 1: a cubic B-spline.

    Args:
        rng: where its nodes come from.
        scale_mm: distance between nodes; details are about twice as large.
    """

    _SPLINE_SD = (151 / 315) ** 1.5  # of a cubic B-spline over nodes of standard deviation 1

    def __init__(self, rng: np.random.Generator, scale_mm: float):
        self.scale_mm = scale_mm
        nodes = rng.standard_normal((LATTICE,) * 3, dtype=np.float32)
        self.nodes = nodes / np.float32(self._SPLINE_SD)

    def on(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(z, y, x) float32 on the grid of three 1-D arrays of mm."""
        wz, wy, wx = (_spline_weights(axis / self.scale_mm) for axis in (z, y, x))
        values = np.matmul(wy, np.tensordot(wz, self.nodes, axes=(1, 0)))  # (z, y, LATTICE)
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

    Args:
        rng: makes the bending and the unevenness of surfaces.
        axes: the grid's z, y, x in mm, 1-D, ascending.
        size: (z, y, x) of the patient relative to the one described.
        edge_mm: width of the transition at a surface.

    Attributes:
        hu: (z, y, x) float32, air at first.
        points: bent coordinates of every voxel.
        lumps: a Field with details of about 2 cm, on the grid.
        grain: a Field with details of about 6 mm, on the grid.
    """

    def __init__(
        self, rng: np.random.Generator, axes: tuple[np.ndarray, ...], size: Triple, edge_mm: float
    ):
        self.axes = axes
        self.edge_mm = edge_mm
        self.hu = np.full([len(axis) for axis in axes], -1000, np.float32)
        ideal = [(a / s).astype(np.float32) for a, s in zip(axes, size, strict=True)]
        straight = np.meshgrid(*ideal, indexing="ij", sparse=True)
        self.points = Points(*(s + BEND_MM * Field(rng, 60.0).on(*axes) for s in straight))
        self.lumps = Field(rng, 9.0).on(*axes)
        self.grain = Field(rng, 3.0).on(*axes)

    def box(self, low: Sequence[float], high: Sequence[float], margin_mm: float = 5.0) -> Box:
        """The voxels between two corners (z, y, x) of bent coordinates, and a margin."""
        ends = np.array([low, high], float)
        ends += [[-margin_mm], [margin_mm]] - self._shift(ends)
        return _box(*self._indices(ends))

    def around(self, center: Triple, reach: Triple, margin_mm: float = 12.0) -> Box:
        """The voxels within reach (z, y, x mm) of a center, and a margin for bends and lumps."""
        low = [c - r for c, r in zip(center, reach, strict=True)]
        high = [c + r for c, r in zip(center, reach, strict=True)]
        return self.box(low, high, margin_mm)

    def septa(self, box: Box, width: float) -> np.ndarray:
        """Thin curved sheets, 1 in their middle: where `lumps` changes sign."""
        return np.clip(1 - np.abs(self.lumps[box]) / width, 0, 1)

    def at(self, box: Box) -> Points:
        """The bent coordinates of a box."""
        return Points(*(p[box] for p in self.points))

    def nearest(self, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Indices of the voxels nearest to (n, 3) straight positions."""
        columns = zip(self.axes, np.atleast_2d(positions).T, strict=True)
        return tuple(np.searchsorted((a[1:] + a[:-1]) / 2, column) for a, column in columns)

    def _shift(self, positions: np.ndarray) -> np.ndarray:
        """(n, 3) mm from straight to bent coordinates near (n, 3) positions."""
        voxels = self.nearest(positions)
        columns = zip(self.points, self.axes, voxels, strict=True)
        return np.column_stack([bent[voxels] - axis[i] for bent, axis, i in columns])

    def cover(self, distance: np.ndarray, edge_mm: float | None = None) -> np.ndarray:
        """How much of each voxel a shape covers, 0 to 1."""
        return np.clip(0.5 - distance / (edge_mm or self.edge_mm), 0, 1)

    def blend(self, box: Box, cover: np.ndarray, hu: np.ndarray | float) -> None:
        """Puts a tissue over what is there, as opaque as `cover` says."""
        below = self.hu[box]
        below += cover * (hu - below)

    def paint(
        self,
        box: Box,
        distance: np.ndarray,
        hu: np.ndarray | float,
        within: np.ndarray | None = None,
    ) -> None:
        """Puts a shape over what is there, clipped by a cover of the whole grid, `within`."""
        cover = self.cover(distance)
        self.blend(box, cover if within is None else cover * within[box], hu)

    def tube(self, path: np.ndarray, radii: np.ndarray) -> tuple[Box, np.ndarray]:
        """A bent pipe along (n, 3) positions with (n,) radii.

        Returns:
            Its box and the distances there; farther than 3 mm away they are just large.
        """
        straight = path - self._shift(path)
        reach = (np.maximum(radii[:-1], radii[1:]) + 5.0)[:, None]
        low = np.minimum(straight[:-1], straight[1:]) - reach
        high = np.maximum(straight[:-1], straight[1:]) + reach
        first, last = self._indices(low), self._indices(high)
        corner = first.min(axis=0)
        distance = np.full(last.max(axis=0) - corner, FAR_MM, np.float32)
        for i in range(len(path) - 1):
            rod = capsule(self.at(_box(first[i], last[i])), *path[i : i + 2], *radii[i : i + 2])
            here = distance[_box(first[i] - corner, last[i] - corner)]
            np.minimum(here, rod, out=here)
        return _box(corner, last.max(axis=0)), distance

    def _indices(self, positions: np.ndarray) -> np.ndarray:
        """(n, 3) of the first voxels beyond (n, 3) straight positions."""
        columns = zip(self.axes, positions.T, strict=True)
        return np.column_stack([np.searchsorted(axis, column) for axis, column in columns])


def _box(first: np.ndarray, last: np.ndarray) -> Box:
    return as_box(slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True))
