"""The three things everything else passes around: a scan, a segmentation, their spacing.

Arrays are (z, y, x) in LPS: z grows to the head, y to the back, x to the patient's left. Drawn with
y down and x to the right, a slice is therefore in radiological convention.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

HU_MIN, HU_MAX = -1024, 3071  # what 12-bit CT can say; everything outside is padding or metal
BACKGROUND, LIVER, TUMOR = 0, 1, 2


class Spacing(NamedTuple):
    """Distance between voxel centres in mm; z is None for a single slice or uneven slices."""

    z: float | None
    y: float
    x: float


@dataclass(frozen=True, eq=False)
class Source:
    """Where a volume came from, kept so that results can be put back in the right place.

    Attributes:
        kind: what the person uploaded.
        affine: (4, 4) float, voxel (x, y, z, 1) of the LPS array to LPS mm; None where the files
            do not say or the slices are uneven.
        positions_mm: (z, 3) float, LPS mm of voxel (x=0, y=0) of each slice; None as above but
            known for uneven slices too.
        axcodes: the axis codes in which a NIfTI was stored, e.g. ("R", "A", "S").
        headers: for DICOM, one pydicom Dataset without pixels per slice, in the order of z: only
            what a DICOM SEG must refer to. Never shown, logged or exported otherwise.
    """

    kind: Literal["dicom", "nifti", "picture"]
    affine: np.ndarray | None = None
    positions_mm: np.ndarray | None = None
    axcodes: tuple[str, str, str] | None = None
    headers: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT scan.

    Attributes:
        hu: (z, y, x) int16, Hounsfield units in [-1024, 3071], read-only.
        spacing: mm, or None where the files do not say.
        windowed: for a picture, the (low, high) HU its grey values are assumed to span; else None.
        notices: sentences for the person about every choice made for them.
        source: where it came from, or None for a volume made in memory.
    """

    hu: np.ndarray
    spacing: Spacing | None = None
    windowed: tuple[int, int] | None = None
    notices: tuple[str, ...] = ()
    source: Source | None = field(default=None, repr=False)

    def __post_init__(self):
        _check_array(self.hu, "hu", np.int16)
        if self.spacing is not None:
            object.__setattr__(self, "spacing", _checked_spacing(self.spacing))
        if self.windowed is not None and not self.windowed[0] < self.windowed[1]:
            raise ValueError(f"windowed must be (low, high) in HU, got {self.windowed}")
        object.__setattr__(self, "notices", tuple(self.notices))
        self.hu.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        return self.hu.shape

    @property
    def pixel_mm2(self) -> float | None:
        """Area of one pixel in mm²; None where spacing is unknown."""
        return self.spacing.y * self.spacing.x if self.spacing else None

    @property
    def voxel_ml(self) -> float | None:
        """Volume of one voxel in mL; None where the spacing along z is unknown."""
        if self.spacing is None or self.spacing.z is None:
            return None
        return self.spacing.z * self.spacing.y * self.spacing.x / 1000


@dataclass(frozen=True, eq=False)
class Probability:
    """One network's output inside a box of the scan; 0 everywhere outside.

    Post-processing is already in it, so that `values >= threshold` is the final mask: what was
    removed is 0, what was filled is 255.

    Attributes:
        values: (z, y, x) uint8, 0 to 255 for probability 0 to 1.
        corner: (z, y, x) voxel of the scan at which the box begins.
    """

    values: np.ndarray
    corner: tuple[int, int, int]

    def __post_init__(self):
        _check_array(self.values, "values", np.uint8)

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The box as slices into the scan's array."""
        return tuple(slice(c, c + n) for c, n in zip(self.corner, self.values.shape, strict=True))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Liver and tumors on a scan's grid.

    Attributes:
        labels: (z, y, x) uint8: 0 background, 1 liver, 2 tumor (part of the liver), read-only.
        liver_probability, tumor_probability: what the networks said, or None for a ground truth.
        notices: sentences for the person.
    """

    labels: np.ndarray
    liver_probability: Probability | None = field(default=None, repr=False)
    tumor_probability: Probability | None = field(default=None, repr=False)
    notices: tuple[str, ...] = ()

    def __post_init__(self):
        _check_array(self.labels, "labels", np.uint8)
        if self.labels.size and self.labels.max() > TUMOR:
            raise ValueError(f"labels must be 0, 1 or 2, got {self.labels.max()}")
        object.__setattr__(self, "notices", tuple(self.notices))
        self.labels.setflags(write=False)

    @property
    def liver(self) -> np.ndarray:
        """(z, y, x) bool; the tumors are part of the liver."""
        return self.labels >= LIVER

    @property
    def tumor(self) -> np.ndarray:
        """(z, y, x) bool."""
        return self.labels == TUMOR


def notices(*parts: Volume | Segmentation | None) -> list[str]:
    """What was assumed or chosen for the person in any of these, each sentence once."""
    return list(dict.fromkeys(text for part in parts if part for text in part.notices))


def _check_array(array: np.ndarray, name: str, dtype: type) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 3:
        found = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
        raise ValueError(f"{name} must be a 3-D {np.dtype(dtype).name} array, got {found}")
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")


def _checked_spacing(spacing: Spacing) -> Spacing:
    spacing = Spacing(*spacing)
    for value in spacing:
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"spacing must be positive mm, got {tuple(spacing)}")
    if spacing.y is None or spacing.x is None:
        raise ValueError(f"spacing y and x must be known, got {tuple(spacing)}")
    return Spacing(*(None if value is None else float(value) for value in spacing))
