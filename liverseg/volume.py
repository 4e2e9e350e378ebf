"""What everything else passes around: a scan, a segmentation, their spacing, boxes and affines.

Arrays are (z, y, x) in LPS: z grows to the head, y to the back, x to the patient's left. Drawn with
y down and x to the right, a slice is therefore in radiological convention.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from .sentences import Sentence, say

HU_MIN, HU_MAX = -1024, 3071  # what 12-bit CT can say; everything outside is padding or metal
BACKGROUND, LIVER, TUMOR = 0, 1, 2
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # affines of NIfTI count to the right and to the front

Box = tuple[slice, slice, slice]  # (z, y, x)
SourceKind = Literal["dicom", "nifti", "nrrd", "metaimage", "mgh", "picture"]


class Spacing(NamedTuple):
    """Distance between voxel centers in mm; z is None for a single slice or uneven slices."""

    z: float | None
    y: float
    x: float


class Form(NamedTuple):
    """One of the two places that a NIfTI header gives.

    Attributes:
        code: of the header: 1 the scanner's coordinates, 2 aligned with another file, and so on.
        affine: (4, 4) voxel (i, j, k, 1) of the stored array to RAS mm.
    """

    code: int
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class Source:
    """Where a volume came from, kept so that results can be put back in the right place.

    Attributes:
        kind: what the person uploaded.
        affine: (4, 4) float, voxel (x, y, z, 1) of the LPS array to LPS mm; None where the files
            do not say or the slices are uneven.
        positions_mm: (z, 3) float, LPS mm of voxel (x=0, y=0) of each slice; None as above but
            known for uneven slices too.
        axcodes: the axis codes in which a file of one volume was stored, e.g. ("R", "A", "S").
        forms: a NIfTI's sform and qform, each None where the header has no usable one.
        numbers: by which the files of the slices are ordered, each (z,) int64 with another number
            for every slice: of their names, and InstanceNumber; where there are such.
        headers: for DICOM, one pydicom Dataset without pixels per slice, in the order of z: only
            what a DICOM SEG must refer to. Never shown, logged or exported otherwise.
    """

    kind: SourceKind
    affine: np.ndarray | None = None
    positions_mm: np.ndarray | None = None
    axcodes: tuple[str, str, str] | None = None
    forms: tuple[Form | None, Form | None] = (None, None)
    numbers: tuple[np.ndarray, ...] = field(default=(), repr=False)
    headers: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT scan.

    Attributes:
        hu: (z, y, x) int16, Hounsfield units in [-1024, 3071], read-only.
        spacing: mm, or None where the files do not say.
        windowed: for a picture, the (low, high) HU its gray values are assumed to span; else None.
        notices: what was assumed or chosen for the person, each a `sentences.Sentence`.
        source: where it came from, or None for a volume made in memory.
    """

    hu: np.ndarray
    spacing: Spacing | None = None
    windowed: tuple[int, int] | None = None
    notices: tuple[str, ...] = ()
    source: Source | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
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
    def kind(self) -> SourceKind | None:
        """What the person uploaded; None for a volume made in memory."""
        return self.source.kind if self.source else None

    @property
    def voxel_mm(self) -> tuple[float, float, float] | None:
        """(z, y, x) size of a voxel; None where one of the three is unknown."""
        if self.spacing is None or self.spacing.z is None:
            return None
        return self.spacing.z, self.spacing.y, self.spacing.x

    @property
    def pixel_mm2(self) -> float | None:
        """Area of one pixel in mm²; None where spacing is unknown."""
        return self.spacing.y * self.spacing.x if self.spacing else None

    @property
    def voxel_ml(self) -> float | None:
        """Volume of one voxel in mL; None where the spacing along z is unknown."""
        if self.voxel_mm is None:
            return None
        z, y, x = self.voxel_mm
        return z * y * x / 1000

    @property
    def affine(self) -> np.ndarray | None:
        """(4, 4) float, voxel (x, y, z, 1) to LPS mm; None where the files do not say.

        A volume made in memory begins at 0.
        """
        if self.source is not None:
            return self.source.affine
        return affine_of(self.spacing) if self.spacing else None

    @property
    def positions_mm(self) -> np.ndarray | None:
        """See `Source`; None for a volume made in memory."""
        return self.source.positions_mm if self.source else None


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

    def __post_init__(self) -> None:
        _check_array(self.values, "values", np.uint8)

    @property
    def box(self) -> Box:
        """The box as slices into the scan's array."""
        return as_box(slice(c, c + n) for c, n in zip(self.corner, self.values.shape, strict=True))


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

    def __post_init__(self) -> None:
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

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        maps = (self.liver_probability, self.tumor_probability)
        return self.labels.nbytes + sum(p.values.nbytes for p in maps if p is not None)


def describe(volume: Volume) -> str:
    """One line about a scan: "129 slices, 512×512, voxels 0.57 × 0.57 × 1.60 mm"."""
    slices, rows, columns = volume.shape
    count = "1 slice" if slices == 1 else f"{slices} slices"
    return f"{count}, {columns}×{rows}, {_voxels(volume.spacing)}"


def name_of(volume: Volume, synthetic: int | None = None) -> Sentence:
    """What a scan is called wherever it is shown or written: never a patient's name.

    Args:
        volume: the scan.
        synthetic: number of the synthetic case that it is.
    """
    if synthetic is not None:
        return say("choice.synthetic_name", number=synthetic)
    return say("choice.name", slices=say("choice.slices", count=volume.shape[0]))


def _voxels(spacing: Spacing | None) -> str:
    if spacing is None:
        return "size unknown"
    if spacing.z is None:
        return f"pixels {spacing.x:.2f} × {spacing.y:.2f} mm"
    return f"voxels {spacing.x:.2f} × {spacing.y:.2f} × {spacing.z:.2f} mm"


def notices(*parts: Volume | Segmentation | None) -> list[str]:
    """What was assumed or chosen for the person in any of these, each sentence once."""
    return list(dict.fromkeys(text for part in parts if part for text in part.notices))


def affine_of(spacing: Spacing) -> np.ndarray:
    """(4, 4) float, voxel (x, y, z, 1) to mm of a straight grid at 0; one slice is 1 mm thick."""
    return np.diag([spacing.x, spacing.y, spacing.z or 1.0, 1.0])


def common_box(*labels: np.ndarray) -> Box:
    """The smallest box that holds what is not 0 in any of them; an empty one for nothing.

    Args:
        labels: (z, y, x) of one shape, read without a copy of their size.
    """
    boxes = [bounding_box(one) for one in labels if one.any()]
    if not boxes:
        return (slice(0, 0),) * 3
    return as_box(
        slice(min(one.start for one in axis), max(one.stop for one in axis))
        for axis in zip(*boxes, strict=True)
    )


def bounding_box(mask: np.ndarray) -> Box:
    """The smallest box that holds a (z, y, x) mask, which is not empty."""
    z = np.flatnonzero(mask.any(axis=(1, 2)))
    plane = mask[z[0] : z[-1] + 1].any(axis=0)
    y, x = np.flatnonzero(np.any(plane, axis=1)), np.flatnonzero(np.any(plane, axis=0))
    return as_box(slice(int(k[0]), int(k[-1]) + 1) for k in (z, y, x))


def as_box(axes: Iterable[slice]) -> Box:
    """The slices of three axes as a box."""
    z, y, x = axes
    return z, y, x


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
    z = None if spacing.z is None else float(spacing.z)
    return Spacing(z, float(spacing.y), float(spacing.x))
