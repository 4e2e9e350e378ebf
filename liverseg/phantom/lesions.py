"""Tumors and cysts of a phantom's liver."""

import numpy as np

from ..volume import Box, as_box
from .scene import Canvas, Field
from .shapes import Points, ellipsoid, smooth_step

CANDIDATES = 4000  # places tried for each lesion
BOX_MARGIN_MM = 4.0  # around a lesion
GAP_MM = 4.0  # of liver between two lesions, so that each is one component of the labels


class Lesions:
    """Places lesions in a liver, apart from one another.

    Args:
        canvas: with the liver painted.
        rng: where, how stretched, how uneven.
        liver: (z, y, x) float32, distance to its surface.
        layers: how many slices of the canvas make one of the scan; lesions are centered on those.

    Attributes:
        tumor: (z, y, x) float32, distance to the nearest tumor's surface.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator, liver: np.ndarray, layers: int):
        self.canvas, self.rng, self.liver, self.layers = canvas, rng, liver, layers
        # Not farther: a step at the edge of a lesion's box would ring when it is enlarged.
        self.tumor = np.full_like(liver, BOX_MARGIN_MM)
        self._placed: list[tuple[np.ndarray, float]] = []
        steps = [np.diff(axis).max(initial=0.0) for axis in canvas.axes]
        self._gap = GAP_MM + max(layers * steps[0], *steps[1:])

    def place(self, radius: float) -> np.ndarray | None:
        """A voxel's position (z, y, x) mm with room for a lesion, or None where there is none."""
        axes = self.canvas.axes
        inside = np.argwhere(self.liver < 0)
        if not len(inside):
            return None
        low = [a[i] for a, i in zip(axes, inside.min(axis=0), strict=True)]
        high = [a[i] for a, i in zip(axes, inside.max(axis=0), strict=True)]
        z, y, x = self.canvas.nearest(self.rng.uniform(low, high, (CANDIDATES, 3)))
        voxels = z - z % self.layers + self.layers // 2, y, x
        positions = np.column_stack([a[i] for a, i in zip(axes, voxels, strict=True)])
        good = self.liver[voxels] < -0.75 * radius - 1.0
        for center, other in self._placed:
            good &= np.linalg.norm(positions - center, axis=1) > radius + other + self._gap
        return positions[np.argmax(good)] if good.any() else None

    def add_tumor(self, diameter_mm: float, contrast_hu: float) -> bool:
        """Paints a tumor; False where there is no room for it."""
        radius = diameter_mm / 2
        center = self.place(radius)
        if center is None:
            return False
        box, p, field = self._surroundings(center, radius, 1.3)
        stretch = self.rng.uniform(0.72, 1.0, 3)
        stretch[self.rng.integers(1, 3)] = 1.0
        distance = ellipsoid(p, center, tuple(radius * stretch)) + 0.09 * radius * field
        soft = float(np.clip(0.16 * radius, 1.5, 4.0))
        inside = self.canvas.cover(self.liver[box])
        cover = self.canvas.cover(distance, soft)
        change = contrast_hu * (1 + 0.1 * field)
        if radius > 8:
            change = change + _rim_and_core(distance, radius, contrast_hu, field)
        self.canvas.hu[box] += cover * inside * change
        np.minimum(self.tumor[box], distance, out=self.tumor[box])
        self._placed.append((center, radius))
        return True

    def add_cyst(self, diameter_mm: float) -> None:
        """Paints a cyst, which is no tumor: water, round and sharp; none where there is no room."""
        radius = diameter_mm / 2
        center = self.place(radius)
        if center is None:
            return
        hu = float(self.rng.uniform(2, 16))
        box, p, field = self._surroundings(center, radius, 1.1)
        distance = ellipsoid(p, center, (radius,) * 3) + 0.03 * radius * field
        inside = self.canvas.cover(self.liver[box])
        self.canvas.blend(box, self.canvas.cover(distance) * inside, hu)
        self._placed.append((center, radius))

    def _surroundings(
        self, center: np.ndarray, radius: float, reach: float
    ) -> tuple[Box, Points, np.ndarray]:
        """A lesion's box, straight coordinates in it and a Field of the lesion's own size."""
        axes, field = self.canvas.axes, Field(self.rng, max(0.55 * radius, 2.0))
        reach_mm = reach * radius + BOX_MARGIN_MM
        box = as_box(
            slice(*np.searchsorted(a, (c - reach_mm, c + reach_mm)).tolist())
            for a, c in zip(axes, center, strict=True)
        )
        part = [a[s] for a, s in zip(axes, box, strict=True)]
        grid = np.meshgrid(*[a.astype(np.float32) for a in part], indexing="ij", sparse=True)
        return box, Points(*grid), field.on(*part)


def _rim_and_core(
    distance: np.ndarray, radius: float, contrast_hu: float, field: np.ndarray
) -> np.ndarray:
    """What a large tumor adds: a rim nearer to the liver, a core that died."""
    rim = smooth_step(-0.35 * radius, -0.1 * radius, distance)
    core = smooth_step(-0.45 * radius, -0.75 * radius, distance + 0.15 * radius * field)
    return -0.45 * contrast_hu * rim - 22.0 * core
