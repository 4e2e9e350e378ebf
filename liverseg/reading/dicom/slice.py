"""A CT slice's header as checked values; one per frame of an enhanced CT."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from ...sentences import Sentence
from ..archive import Member
from ..geometry import Grid, Plane, grid_of, plane_from
from ..hounsfield import Padding, Rescale, padding_from
from ..kinds import LeftOut
from ..limits import LIMITS
from .file import DAMAGE
from .kind import (
    NotASlice,
    check_contents,
    check_kind,
    is_ct_image,
    is_lossy,
    is_placed,
    may_show_text,
    remarks,
)

PIXEL_MM = (0.05, 10.0)  # what a CT's pixel can measure

TIMES = (
    "AcquisitionTime",
    "AcquisitionDateTime",
    "FrameAcquisitionDateTime",
    "FrameReferenceDateTime",
    "ContentTime",
)

# What may tell two phases or reconstructions of one series apart, the likeliest first.
VARIANTS = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "NominalCardiacTriggerDelayTime",
    "TriggerTime",
    "StackID",
    "ImageType",
    "ConvolutionKernel",
    "SliceThickness",
    "KVP",
    "FrameAcquisitionNumber",
    "SeriesTime",
    *TIMES,
)

# What the frames of a file may have in common outside their functional groups.
COMMON = (
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    *VARIANTS,
)

# What a DICOM SEG has to repeat of the images it refers to; everything else is forgotten.
KEPT = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "Columns",
)


@dataclass(frozen=True, eq=False)
class CtSlice:
    """What a CT slice's header says, as checked values; its pixels stay in the file.

    Attributes:
        member: the file.
        frame: which frame of a multi-frame file, else None.
        frames: how many the file holds.
        series: what slices of one series have in common.
        variant: what may tell the passes of one series apart.
        numbers: what may order them: InstanceNumber with the frame's number, and times.
        number: InstanceNumber, which orders slices without a position.
        shape: (rows, columns).
        plane: where it lies, or None.
        pixel_mm: (row, column) spacing, or None.
        rescale: None where the header does not say.
        eight_bit: whether 256 gray values without an offset are all it can hold.
        remarks: what has to be said of it.
        header: the attributes in KEPT.
        left_out: what a frame shows instead of a CT slice, else None.
    """

    member: Member = field(repr=False)
    frame: int | None
    frames: int
    series: tuple = field(repr=False)
    variant: tuple = field(repr=False)
    numbers: tuple[float | None, ...] = field(repr=False)
    number: int | None
    shape: tuple[int, int]
    plane: Plane | None
    pixel_mm: tuple[float, float] | None
    rescale: Rescale | None
    padding: tuple[Padding, ...]
    unsigned_16: bool
    eight_bit: bool
    lossy: bool
    burned_in: bool
    tilt_degrees: float | None
    remarks: tuple[Sentence, ...]
    header: Dataset = field(repr=False)
    left_out: LeftOut | None = None

    @property
    def grid(self) -> Grid | None:
        """Its pixels in space; None unless both its plane and their size are known."""
        if self.plane is None or self.pixel_mm is None:
            return None
        return grid_of(self.plane, self.pixel_mm, self.shape)


def ct_slices(dataset: Dataset, has_pixels: bool, member: Member) -> list[CtSlice]:
    """The CT slices in a file: one, or one per frame, with those that are to be left out.

    Args:
        dataset: the header, as `file.read_header` gives it.
        has_pixels: whether pixels follow it.
        member: the file it came from.

    Raises:
        NotASlice: with what the file is instead.
    """
    try:
        check_kind(dataset, has_pixels)
        slice_ = image_slice(dataset, member)
        frames = _number(dataset, "NumberOfFrames") or 1
        if "PerFrameFunctionalGroupsSequence" in dataset:
            found = list(_frames(dataset, slice_, int(frames)))
            reasons = [one.left_out for one in found if one.left_out]
            if found and len(reasons) == len(found):
                raise NotASlice(reasons[0])
            return found
    except DAMAGE:
        raise NotASlice(LeftOut.DAMAGED_DICOM) from None
    if frames != 1:
        raise NotASlice(LeftOut.MULTI_FRAME)
    return [slice_]


def image_slice(dataset: Dataset, member: Member) -> CtSlice:
    """A single-frame gray image's header as checked values, whatever it shows."""
    shape = int(dataset.Rows), int(dataset.Columns)
    if max(shape) > LIMITS.side:
        raise NotASlice(LeftOut.IMAGE_TOO_WIDE)
    bits_allocated = int(dataset.get("BitsAllocated") or 16)
    bits_stored = int(dataset.get("BitsStored") or bits_allocated)
    signed = bool(dataset.get("PixelRepresentation"))
    rescale = rescale_of(dataset)
    number = _number(dataset, "InstanceNumber")
    return CtSlice(
        member=member,
        frame=None,
        frames=1,
        series=(
            *(str(dataset.get(name, "")) for name in ("StudyInstanceUID", "SeriesInstanceUID")),
            bits_stored <= 8,
        ),
        variant=_variant(dataset, member),
        numbers=(number, *(_number(dataset, name) for name in TIMES)),
        number=None if number is None else int(number),
        shape=shape,
        plane=plane_of(dataset),
        pixel_mm=pixel_mm_of(dataset),
        rescale=rescale,
        padding=_padding(dataset, signed, bits_allocated, bits_stored),
        unsigned_16=not signed and bits_stored == 16,
        eight_bit=bits_stored <= 8 and (rescale is None or rescale.intercept == 0),
        lossy=is_lossy(dataset),
        burned_in=may_show_text(dataset),
        tilt_degrees=_number(dataset, "GantryDetectorTilt"),
        remarks=remarks(dataset),
        header=_kept(dataset),
    )


def _variant(dataset: Dataset, member: Member, of_file: int | None = None) -> tuple:
    return member.parts[:-1], of_file, *(str(dataset.get(name)) for name in VARIANTS)


def _padding(
    dataset: Dataset, signed: bool, bits_allocated: int, bits_stored: int
) -> tuple[Padding, ...]:
    value, limit = (
        _number(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    if value is None:
        return ()
    return padding_from(
        int(value),
        None if limit is None else int(limit),
        signed=signed,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
    )


def plane_of(dataset: Dataset) -> Plane | None:
    """The plane of a single-frame image."""
    return plane_from(
        numbers(dataset, "ImagePositionPatient", 3), numbers(dataset, "ImageOrientationPatient", 6)
    )


def pixel_mm_of(dataset: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing; None where it is missing, zero or absurd."""
    found = numbers(dataset, "PixelSpacing", 2)
    if found is None or not all(PIXEL_MM[0] <= mm <= PIXEL_MM[1] for mm in found):
        return None
    row_mm, column_mm = found
    return row_mm, column_mm


def rescale_of(dataset: Dataset) -> Rescale | None:
    """Slope and intercept; None unless both are there."""
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return None if slope is None or intercept is None else Rescale(slope, intercept)


def _frames(dataset: Dataset, slice_: CtSlice, count: int) -> Iterator[CtSlice]:
    """A file's frames, each by its functional groups, else by the shared ones, else the file's."""
    is_ct = is_ct_image(dataset)
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if len(per_frame) != count or count > LIMITS.files:
        raise NotASlice(LeftOut.DAMAGED_DICOM)
    slice_.member.budget.spend("frames", count)
    if count * math.prod(slice_.shape) > LIMITS.voxels:
        raise NotASlice(LeftOut.IMAGE_TOO_LARGE)
    common = [dataset[keyword] for keyword in COMMON if keyword in dataset]
    for index, groups in enumerate(per_frame):
        flat = flattened(groups, shared)
        for element in common:
            if element.tag not in flat:
                flat.add(element)
        number = None if slice_.number is None else slice_.number + index / count
        yield replace(
            slice_,
            frame=index,
            frames=count,
            variant=_variant(flat, slice_.member, id(slice_.member)),
            numbers=(number, *(_number(flat, name) for name in TIMES)),
            plane=plane_of(flat),
            pixel_mm=pixel_mm_of(flat),
            rescale=rescale_of(flat),
            remarks=tuple(dict.fromkeys((*slice_.remarks, *remarks(flat)))),
            header=Dataset(),
            left_out=_instead(flat, is_ct, slice_.eight_bit),
        )


def _instead(flat: Dataset, is_ct: bool, eight_bit: bool) -> LeftOut | None:
    """What a frame is instead of a CT slice, or None."""
    try:
        check_contents(flat)
    except NotASlice as reason:
        return reason.kind
    return None if is_ct or (is_placed(flat) and not eight_bit) else LeftOut.CAPTURE


def flattened(groups: Dataset, shared: Dataset) -> Dataset:
    """The attributes of one frame's functional groups as a single-frame image has them."""
    flat = Dataset()
    for source in (shared, groups):
        for element in source:
            if element.VR == "SQ" and element.value and not element.tag.is_private:
                flat.update(element.value[0])
    if "FrameType" in flat:
        flat.ImageType = flat.FrameType
    return flat


def _kept(dataset: Dataset) -> Dataset:
    header = Dataset()
    for keyword in KEPT:
        if keyword in dataset:
            header.add(dataset[keyword])
    return header


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """A value of exactly `count` finite numbers, else None."""
    try:
        value = dataset.get(keyword)
        found = tuple(float(part) for part in value)
    except DAMAGE:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _number(dataset: Dataset, keyword: str) -> float | None:
    """One finite number, else None; of several values, the first."""
    try:
        value = dataset.get(keyword)
        if isinstance(value, bytes):  # its VR could not be told
            return float(int.from_bytes(value[:2], "little"))
        if not isinstance(value, int | float | str):
            value = value[0]
        found = float(value)
    except DAMAGE:
        return None
    return found if math.isfinite(found) else None
