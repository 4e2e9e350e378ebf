"""A scan as training and evaluation know it: with labels, a patient and a place for each slice.

    LabelledScan, from any data set (datasets) → on disk (cache) → split by patient (split)

Labels are 0 background, 1 liver, 2 tumor and 3, liver on a slice whose tumors nobody annotated:
liver for the liver network, left out of every tumor loss and score.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..network.recipe import Recipe
from ..volume import Segmentation, Spacing, Volume

ASSUMED_MM = Recipe().assumed_spacing_mm  # of data sets that do not say, as in the product
ASSUMED_SPACING = Spacing(*ASSUMED_MM)
UNANNOTATED = 3  # liver on a slice whose tumors were not annotated
APART_MM = 1e3  # between single slices of different places: too far to be neighbors


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """One labelled scan, or the labelled slices that are known of it.

    Attributes:
        name: of the scan, unique in a data set.
        patient: whose it is; several scans may be of one patient.
        hu: (z, y, x) int16.
        labels: (z, y, x) uint8: 0 background, 1 liver, 2 tumor, 3 liver without annotated tumors.
        z_mm: (z,) float, where each slice lies; slices may be missing between two.
        pixel_mm: side of a pixel.
        measured: whether z_mm and pixel_mm are the scan's own; assumed otherwise.
        stored_hu: (low, high) HU at which the data set cut gray values off; None where it did not,
            and for pictures, which are cut off as uploaded ones are.
    """

    name: str
    patient: str
    hu: np.ndarray
    labels: np.ndarray
    z_mm: np.ndarray
    pixel_mm: float
    measured: bool = True
    stored_hu: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.hu.shape != self.labels.shape or self.z_mm.shape != self.hu.shape[:1]:
            raise ValueError(
                f"hu, labels and z_mm must fit, got {self.hu.shape}, {self.labels.shape} "
                f"and {self.z_mm.shape}"
            )

    @cached_property
    def digest(self) -> str:
        """sha256 of all that it holds but its name."""
        about = f"{self.patient} {self.hu.shape} {self.pixel_mm} {self.measured} {self.stored_hu}"
        digest = hashlib.sha256(about.encode())
        for array, kind in ((self.hu, np.int16), (self.labels, np.uint8), (self.z_mm, np.float64)):
            digest.update(np.ascontiguousarray(array, kind).data)
        return digest.hexdigest()


def as_labelled_scan(name: str, patient: str, volume: Volume, truth: Segmentation) -> LabelledScan:
    """A case from a scan and its ground truth; unknown spacing is assumed."""
    spacing = volume.spacing or ASSUMED_SPACING
    z_mm = np.arange(volume.shape[0]) * (spacing.z or ASSUMED_MM[0])
    measured = volume.voxel_ml is not None
    return LabelledScan(name, patient, volume.hu, truth.labels, z_mm, spacing.y, measured)


def spacing_of(case: LabelledScan, kept: np.ndarray | None = None) -> Spacing | None:
    """A case's spacing, along z that of most slices with liver; None where it was assumed.

    Args:
        case: whose slices may have gaps outside the liver.
        kept: (z,) bool, the slices that count.
    """
    if not case.measured:
        return None
    with_liver = case.labels.any(axis=(1, 2)) & (True if kept is None else kept)
    z_mm = case.z_mm[with_liver] if with_liver.sum() > 1 else case.z_mm
    return Spacing(float(np.median(np.diff(z_mm))), case.pixel_mm, case.pixel_mm)


def clipped(hu: np.ndarray, window_hu: tuple[int, int], case: LabelledScan) -> np.ndarray:
    """HU of a case in a window, as they would be in an upload of the scan.

    A data set that is stored in 8 bits was cut off, perhaps inside the window, where an upload is
    not: what was cut off there lay beyond that end, as fat and bone do, and is put at the window's.
    This is for training. Evaluation reads the scans as they are stored, as the published scores of
    the present weights did.

    Args:
        hu: of some of its voxels.
        window_hu: (low, high).
        case: whose they are.
    """
    (low, high), seen = window_hu, np.clip(hu, *window_hu)
    if case.stored_hu is not None:
        first, last = case.stored_hu
        seen[hu <= first] = low
        seen[hu >= last] = high
    return seen
