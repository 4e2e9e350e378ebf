"""A synthetic portal-venous abdominal CT with exact labels of liver and tumors."""

import cv2
import numpy as np

from . import phantom_anatomy as anatomy
from .phantom_scene import Canvas, ellipsoid
from .volume import HU_MAX, HU_MIN, LIVER, TUMOR, Segmentation, Spacing, Volume

EXTENT_MM = (150.0, 384.0, 384.0)  # (z, y, x) that the default grid covers
WORKING_MM = 1.5  # in-plane distance at which anatomy is computed


def make_phantom(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (60, 512, 512),
    spacing: Spacing | None = None,
    tumors: int | None = None,
    diameter_mm: tuple[float, float] = (8.0, 45.0),
    contrast_hu: tuple[float, float] | None = None,
) -> tuple[Volume, Segmentation]:
    """Makes a patient.

    Args:
        seed: another patient for every number.
        shape: (z, y, x) voxels.
        spacing: mm; None for the spacing at which the grid just holds the abdomen.
        tumors: how many; None for one to four.
        diameter_mm: the range of their long axis.
        contrast_hu: the range of their difference from the liver; None for the usual mixture.

    Returns:
        The scan and its labels. ValueError where the tumors do not fit into the liver.
    """
    rng = np.random.default_rng(seed)
    if spacing is None:
        spacing = Spacing(*(e / n for e, n in zip(EXTENT_MM, shape, strict=True)))
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    step = max(1, round(WORKING_MM / min(spacing.y, spacing.x)))
    working = [axes[0], *(_coarser(axis, step) for axis in axes[1:])]
    canvas = Canvas(rng, working)
    liver_hu = float(np.clip(rng.normal(102, 22), 45, 155))
    liver, tumor = _paint(canvas, rng, liver_hu, tumors, diameter_mm, contrast_hu)
    labels = np.zeros(shape, np.uint8)
    labels[_enlarge(liver, shape) < 0] = LIVER
    labels[(_enlarge(tumor, shape) < 0) & (labels == LIVER)] = TUMOR
    hu = _enlarge(canvas.hu, shape)
    noise = rng.standard_normal(shape, np.float32)
    for plane, grain in zip(hu, noise, strict=True):
        plane += cv2.GaussianBlur(grain, (0, 0), 0.8) * 30
    hu = np.clip(np.rint(hu), HU_MIN, HU_MAX).astype(np.int16)
    return Volume(hu, spacing), Segmentation(labels)


def _paint(canvas, rng, liver_hu, tumors, diameter_mm, contrast_hu):
    _, cavity = anatomy.body(canvas)
    under = anatomy.dome(canvas)
    lung = np.maximum(cavity, -under)
    canvas.paint(anatomy.EVERYWHERE, lung, -860.0)
    liver = anatomy.liver_shape(canvas, under)
    anatomy.spine(canvas)
    anatomy.organs(canvas, {"spleen": 118.0})
    canvas.paint(anatomy.EVERYWHERE, liver, liver_hu)
    tumor = np.full_like(canvas.hu, 99.0)
    count = int(rng.integers(1, 5)) if tumors is None else tumors
    for _ in range(count):
        radius = rng.uniform(*diameter_mm) / 2
        places = np.argwhere(liver < -radius - 2)
        if not len(places):
            raise ValueError(f"a tumor of {2 * radius:.0f} mm does not fit into the liver")
        center = [float(p[tuple(rng.choice(places))]) for p in canvas.points]
        shape = ellipsoid(canvas.points, center, (radius,) * 3) + canvas.lumps * 0.1 * radius
        delta = rng.uniform(*(contrast_hu or (-60.0, -25.0)))
        canvas.paint(anatomy.EVERYWHERE, shape, liver_hu + delta)
        tumor = np.minimum(tumor, shape)
    return liver, tumor


def _coarser(axis: np.ndarray, step: int) -> np.ndarray:
    """Every step-th position, centred between the fine ones."""
    count = -(-len(axis) // step)
    middles = (np.arange(count) + 0.5) * step - 0.5
    return axis[0] + middles * (axis[1] - axis[0]) if len(axis) > 1 else axis


def _enlarge(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """From the working grid to the scan's."""
    return np.stack([cv2.resize(v, shape[:0:-1], interpolation=cv2.INTER_CUBIC) for v in values])
