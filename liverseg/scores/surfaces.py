"""Distances between the surfaces of two masks, by SimpleITK's distance maps.

SimpleITK rather than DeepMind's `surface-distance`: a third of the time and half of the memory on a
liver of 129 slices, and maintained (the other's only release needs NumPy 1 and SciPy 1).
"""

from typing import Any, NamedTuple

import numpy as np

from ..volume import Volume, bounding_box


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
        prediction, truth: (z, y, x) bool of the scan or a box of it.
        volume: the scan, for its spacing.

    Returns:
        None where a mask is empty or a spacing needed is unknown.
    """
    if volume.spacing is None or not prediction.any() or not truth.any():
        return None
    box = bounding_box(prediction | truth)
    masks = [np.pad(mask[box], 1).astype(np.uint8) for mask in (prediction, truth)]
    spacing_mm: tuple[float, ...] | None = volume.voxel_mm
    if spacing_mm is None:
        if volume.shape[0] > 1:
            return None
        masks, spacing_mm = [mask[1] for mask in masks], volume.spacing[1:]
    found, true = (_surface(mask, spacing_mm) for mask in masks)
    there, back = _nearest_mm(found, true), _nearest_mm(true, found)
    return SurfaceDistances(
        assd_mm=float(np.concatenate([there, back]).mean()),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        max_surface_mm=float(max(there.max(), back.max())),
    )


def _surface(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> Any:
    """The surface of a uint8 mask as a SimpleITK image of 0 and 1."""
    import SimpleITK as sitk  # needed only where there is a truth, so a page does not wait for it

    image = sitk.GetImageFromArray(mask)
    image.SetSpacing([float(mm) for mm in reversed(spacing_mm)])  # SimpleITK counts x first
    return sitk.LabelContour(image)


def _nearest_mm(surface: Any, other: Any) -> np.ndarray:
    """mm from each voxel of one surface to the nearest voxel of the other."""
    import SimpleITK as sitk

    distance = sitk.SignedMaurerDistanceMap(other, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayViewFromImage(distance)[sitk.GetArrayViewFromImage(surface) > 0]
