"""What a radiologist would measure: volumes in mL, diameters in mm, densities in HU.

Lengths and volumes are None where the files do not say how large a voxel is; a single slice still
has areas and diameters. Densities are None for pictures, whose gray values are not HU.
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from ..volume import LIVER, TUMOR, Box, Segmentation, Volume, as_box, bounding_box, common_box
from .diameters import Line, Point, length_mm, lesion_axes
from .lesions import number_lesions

SQUARE_PIXELS = (1.0, 1.0)  # where spacing is unknown: axes can be drawn, but not given in mm


@dataclass(frozen=True)
class Lesion:
    """One tumor: 6-connected voxels.

    Attributes:
        number: 1 for the largest.
        volume_ml: voxels times their size.
        long_axis_mm: the longest straight line between two of its edge points on one axial slice
            (RECIST 1.1: longest diameter in the plane of measurement).
        short_axis_mm: the longest line perpendicular to it, on the same slice, inside the tumor.
        long_axis, short_axis: their end points.
        first_slice, last_slice: z.
        centroid_zyx: in voxels.
        hu_mean, hu_sd: density.
        voxels: size.
    """

    number: int
    volume_ml: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    long_axis: Line
    short_axis: Line
    first_slice: int
    last_slice: int
    centroid_zyx: Point
    hu_mean: float | None
    hu_sd: float | None
    voxels: int


@dataclass(frozen=True)
class Measurements:
    """All that `measure` finds.

    Attributes:
        liver_ml: the liver with its tumors.
        tumor_ml: all tumors.
        burden_percent: tumor voxels per 100 liver voxels, tumors included (LiTS); None without
            a liver.
        liver_hu_mean, liver_hu_sd: liver tissue without the tumors.
        lesions: the largest first.
        liver_area_mm2, tumor_area_mm2: one per slice, or None where spacing is unknown.
    """

    liver_ml: float | None
    tumor_ml: float | None
    burden_percent: float | None
    liver_hu_mean: float | None
    liver_hu_sd: float | None
    lesions: tuple[Lesion, ...]
    liver_area_mm2: tuple[float, ...] | None
    tumor_area_mm2: tuple[float, ...] | None

    def to_dict(self) -> dict:
        """Ready for JSON; None stays null."""
        return asdict(self)


def measure(segmentation: Segmentation, volume: Volume) -> Measurements:
    """Measures liver and tumors.

    Raises:
        ValueError: segmentation and volume differ in shape.
    """
    if segmentation.labels.shape != volume.shape:
        raise ValueError(
            f"the segmentation must have the volume's shape {volume.shape}, "
            f"got {segmentation.labels.shape}"
        )
    counts = np.array([np.bincount(s.ravel(), minlength=3) for s in segmentation.labels])
    liver, tumor = counts[:, 1:].sum(axis=1), counts[:, 2]
    box = common_box(segmentation.labels)
    labels = segmentation.labels[box]
    hu_mean, hu_sd = _density(labels == LIVER, volume, box)
    return Measurements(
        liver_ml=_times(liver.sum(), volume.voxel_ml),
        tumor_ml=_times(tumor.sum(), volume.voxel_ml),
        burden_percent=100 * float(tumor.sum() / liver.sum()) if liver.any() else None,
        liver_hu_mean=hu_mean,
        liver_hu_sd=hu_sd,
        lesions=_lesions(labels == TUMOR, volume, box),
        liver_area_mm2=_areas(liver, volume),
        tumor_area_mm2=_areas(tumor, volume),
    )


def _lesions(tumor: np.ndarray, volume: Volume, box: Box) -> tuple[Lesion, ...]:
    """Measures all lesions; tumor is (z, y, x) bool in a box of the scan."""
    if not tumor.any():
        return ()
    smallest = bounding_box(tumor)
    labels, voxels = number_lesions(tumor[smallest])
    box = _inside(box, smallest)
    inner_boxes = ndimage.find_objects(labels, max_label=len(voxels))
    return tuple(
        _lesion(number, labels[inner] == number, _inside(box, inner), volume)
        for number, inner in enumerate(inner_boxes, start=1)
    )


def _lesion(number: int, mask: np.ndarray, box: Box, volume: Volume) -> Lesion:
    """Measures one lesion; mask is (z, y, x) bool in its box."""
    corner = np.array([axis.start for axis in box])
    pixel_mm = volume.spacing[1:] if volume.spacing else SQUARE_PIXELS
    long_axis, short_axis = lesion_axes(mask, pixel_mm)
    voxels = int(np.count_nonzero(mask))
    hu_mean, hu_sd = _density(mask, volume, box)
    return Lesion(
        number=number,
        volume_ml=_times(voxels, volume.voxel_ml),
        long_axis_mm=length_mm(long_axis, pixel_mm) if volume.spacing else None,
        short_axis_mm=length_mm(short_axis, pixel_mm) if volume.spacing else None,
        long_axis=_moved(long_axis, corner),
        short_axis=_moved(short_axis, corner),
        first_slice=box[0].start,
        last_slice=box[0].stop - 1,
        centroid_zyx=tuple((np.argwhere(mask).mean(axis=0) + corner).tolist()),
        hu_mean=hu_mean,
        hu_sd=hu_sd,
        voxels=voxels,
    )


def _inside(box: Box, inner: Box) -> Box:
    """A box given in the coordinates of another, in the scan's."""
    return as_box(
        slice(o.start + i.start, o.start + i.stop) for o, i in zip(box, inner, strict=True)
    )


def _moved(line: Line, corner: np.ndarray) -> Line:
    start, end = (tuple((corner + point).tolist()) for point in line)
    return start, end


def _density(mask: np.ndarray, volume: Volume, box: Box) -> tuple[float | None, float | None]:
    """Mean and standard deviation in HU inside a (z, y, x) bool mask of a box of the scan."""
    if volume.windowed is not None or not mask.any():
        return None, None
    hu = volume.hu[box][mask]
    return float(hu.mean()), float(hu.std())


def _areas(pixels: np.ndarray, volume: Volume) -> tuple[float, ...] | None:
    if volume.pixel_mm2 is None:
        return None
    return tuple((pixels * volume.pixel_mm2).tolist())


def _times(count: int, size: float | None) -> float | None:
    return None if size is None else float(count * size)
