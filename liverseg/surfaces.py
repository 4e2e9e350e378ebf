"""Distances between the surfaces of two masks, by SimpleITK's distance maps.

SimpleITK rather than DeepMind's `surface-distance`: a third of the time and half of the memory on a
liver of 129 slices, and maintained (the other's only release needs NumPy 1 and SciPy 1).
"""

from typing import NamedTuple

import numpy as np

from .postprocess import bounding_box
from .volume import Volume


class SurfaceDistances(NamedTuple):
    """In mm; from every surface voxel of each mask to the nearest surface voxel of the other.

    Attributes:
        assd_mm: the average over both surfaces (average symmetric surface distance).
        hd95_mm: the 95th percentile, the larger of both directions.
        max_surface_mm: the largest (Hausdorff distance).
    """

    assd_mm: float
    hd95_mm: float
    max_surface_mm: float


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, volume: Volume
) -> SurfaceDistances | None:
    """Distances of two masks' surfaces; on a single slice, of their contours.

    A surface voxel shares a face with the background; beyond the scan there is background.

    Args:
        prediction, truth: (z, y, x) bool.
        volume: for its spacing.

    Returns:
        None where a mask is empty or a spacing needed is unknown.
    """
    spacing_mm = volume.spacing
    if spacing_mm is None or not prediction.any() or not truth.any():
        return None
    box = bounding_box(prediction | truth)
    masks = [np.pad(mask[box], 1).astype(np.uint8) for mask in (prediction, truth)]
    if spacing_mm.z is None:
        if len(prediction) > 1:
            return None
        masks, spacing_mm = [mask[1] for mask in masks], spacing_mm[1:]
    there, back = _nearest(*masks, spacing_mm)
    return SurfaceDistances(
        assd_mm=float(np.concatenate([there, back]).mean()),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        max_surface_mm=float(max(there.max(), back.max())),
    )


def _nearest(first: np.ndarray, second: np.ndarray, spacing_mm) -> tuple[np.ndarray, np.ndarray]:
    """mm from each surface voxel of one uint8 mask to the other's surface, both ways."""
    import SimpleITK as sitk  # needed only where there is a truth, so a page does not wait for it

    surfaces, distances = [], []
    for mask in (first, second):
        image = sitk.GetImageFromArray(mask)
        image.SetSpacing([float(mm) for mm in reversed(spacing_mm)])  # SimpleITK counts x first
        surface = sitk.LabelContour(image)
        distance = sitk.SignedMaurerDistanceMap(
            surface, squaredDistance=False, useImageSpacing=True
        )
        surfaces.append(sitk.GetArrayFromImage(surface) > 0)
        distances.append(sitk.GetArrayFromImage(distance))
    return distances[1][surfaces[0]], distances[0][surfaces[1]]
