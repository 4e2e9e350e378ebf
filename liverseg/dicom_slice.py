"""What one DICOM file is: CT slices with their geometry, or the reason why it holds none."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from .archive import Member
from .dicom_file import DAMAGE
from .hounsfield import Padding, Rescale, padding_from
from .limits import LIMITS
from .stack import Plane, plane_from

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DICOMDIR = "1.2.840.10008.1.3.10"

MODALITIES = {
    "MR": "MR image",
    "PT": "PET image",
    "NM": "nuclear medicine image",
    "US": "ultrasound image",
    "CR": "X-ray image",
    "DX": "X-ray image",
    "RG": "X-ray image",
    "XA": "angiography image",
    "RF": "fluoroscopy image",
    "MG": "mammography image",
    "SEG": "segmentation",
    "RTSTRUCT": "radiotherapy document",
    "RTPLAN": "radiotherapy document",
    "RTDOSE": "radiotherapy document",
    "SR": "report",
    "ECG": "waveform",
    "PR": "presentation state",
    "KO": "presentation state",
}
NOT_CT_IMAGES = frozenset(kind for kind in MODALITIES.values() if kind.endswith("image"))
LOCALIZER_WORDS = {"LOCALIZER", "SCOUT", "REF_SURVIEW", "TOPOGRAM", "SURVIEW"}
SCREEN_WORDS = {"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE"}
MAP_WORDS = {"RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "TTD", "PERFUSION", "PERMEABILITY"}
LOSSY_SYNTAXES = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}
PIXEL_MM = (0.05, 10.0)  # what a CT's pixel can measure

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


class NotASlice(Exception):
    """Not a CT slice; the message is what it is instead, to be counted ("localizer")."""


@dataclass(frozen=True, eq=False)
class CtSlice:
    """What a CT slice's header says, as checked values; its pixels stay in the file.

    Attributes:
        member: the file.
        frame: which frame of a multi-frame file, else None.
        series: what slices of one series have in common.
        variant: what may tell slices of one series at the same position apart.
        number: InstanceNumber, only for slices without a position.
        shape: (rows, columns).
        plane: where it lies, or None.
        pixel_mm: (row, column) spacing, or None.
        rescale: None where the header does not say.
        eight_bit: whether 256 grey values without an offset are all it can hold.
        header: the attributes in KEPT.
    """

    member: Member = field(repr=False)
    frame: int | None
    series: tuple = field(repr=False)
    variant: tuple = field(repr=False)
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
    header: Dataset = field(repr=False)


def ct_slices(dataset: Dataset, has_pixels: bool, member: Member) -> list[CtSlice]:
    """The CT slices in a file: one, or one per frame.

    Args:
        dataset: the header, as `dicom_file.read_header` gives it.
        has_pixels: whether pixels follow it.
        member: the file it came from.

    Raises:
        NotASlice: with what the file is instead.
    """
    try:
        _check_kind(dataset, has_pixels)
        slice_ = image_slice(dataset, member)
        frames = _number(dataset, "NumberOfFrames") or 1
        if "PerFrameFunctionalGroupsSequence" in dataset:
            return list(_frames(dataset, slice_, int(frames)))
    except DAMAGE:
        raise NotASlice("damaged DICOM file") from None
    if frames != 1:
        raise NotASlice("multi-frame file without positions (export it as single slices)")
    return [slice_]


def _check_kind(dataset: Dataset, has_pixels: bool) -> None:
    """NotASlice unless the header is that of a CT image in HU."""
    sop_class = str(dataset.get("SOPClassUID") or _meta(dataset, "MediaStorageSOPClassUID"))
    modality = str(dataset.get("Modality") or "").strip().upper()
    words = image_words(dataset)
    if sop_class == DICOMDIR:
        raise NotASlice("other file")
    if modality != "CT" and not (modality == "" and sop_class.startswith(CT_IMAGE)):
        raise NotASlice(MODALITIES.get(modality, "DICOM file of another kind"))
    if not has_pixels or not dataset.get("Rows") or not dataset.get("Columns"):
        raise NotASlice("DICOM file without an image")
    if dataset.get("SamplesPerPixel", 1) != 1 or words & SCREEN_WORDS:
        raise NotASlice("colour screenshot")
    if words & LOCALIZER_WORDS:
        raise NotASlice("localizer")
    if words & MAP_WORDS:
        raise NotASlice("perfusion map")
    if str(dataset.get("RescaleType") or "HU").strip().upper() not in ("HU", "HU_MOD", "US"):
        raise NotASlice("map of another quantity than HU")
    if sop_class and not sop_class.startswith(CT_IMAGE) and not _is_complete(dataset):
        raise NotASlice("screenshot or secondary capture")


def _is_complete(dataset: Dataset) -> bool:
    """A secondary capture with all that makes a CT slice, as research tools write it."""
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept")
    return (dataset.get("BitsStored") or 0) > 8 and all(dataset.get(name) for name in needed)


def image_words(dataset: Dataset) -> set[str]:
    """The values of ImageType."""
    words = dataset.get("ImageType") or ()
    words = [words] if isinstance(words, str) else words
    return {str(word).strip().upper() for word in words}


def image_slice(dataset: Dataset, member: Member) -> CtSlice:
    """A single-frame grey image's header as checked values, whatever it shows."""
    shape = int(dataset.Rows), int(dataset.Columns)
    if max(shape) > LIMITS.side:
        raise NotASlice(f"image of more than {LIMITS.side} rows or columns")
    bits_allocated = int(dataset.get("BitsAllocated") or 16)
    bits_stored = int(dataset.get("BitsStored") or bits_allocated)
    signed = bool(dataset.get("PixelRepresentation"))
    rescale = rescale_of(dataset)
    padding, end = _number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")
    number = _number(dataset, "InstanceNumber")
    return CtSlice(
        member=member,
        frame=None,
        series=(
            *(str(dataset.get(name, "")) for name in ("StudyInstanceUID", "SeriesInstanceUID")),
            bits_stored <= 8,
        ),
        variant=(member.parts[:-1], _number(dataset, "AcquisitionNumber"), *_variant(dataset)),
        number=None if number is None else int(number),
        shape=shape,
        plane=plane_of(dataset),
        pixel_mm=pixel_mm_of(dataset),
        rescale=rescale,
        padding=()
        if padding is None
        else padding_from(
            int(padding),
            None if end is None else int(end),
            signed=signed,
            bits_allocated=bits_allocated,
            bits_stored=bits_stored,
        ),
        unsigned_16=not signed and bits_stored == 16,
        eight_bit=bits_stored <= 8 and (rescale is None or rescale.intercept == 0),
        lossy=_is_lossy(dataset),
        burned_in=_may_show_text(dataset, bits_stored),
        tilt_degrees=_number(dataset, "GantryDetectorTilt"),
        header=_kept(dataset),
    )


def _variant(dataset: Dataset) -> tuple:
    return (
        _number(dataset, "TemporalPositionIdentifier"),
        tuple(sorted(image_words(dataset))),
        str(dataset.get("ConvolutionKernel", "")),
    )


def plane_of(dataset: Dataset) -> Plane | None:
    """The plane of a single-frame image."""
    return plane_from(
        numbers(dataset, "ImagePositionPatient", 3), numbers(dataset, "ImageOrientationPatient", 6)
    )


def pixel_mm_of(dataset: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing; None where it is missing, zero or absurd."""
    found = numbers(dataset, "PixelSpacing", 2)
    return found if found and all(PIXEL_MM[0] <= mm <= PIXEL_MM[1] for mm in found) else None


def rescale_of(dataset: Dataset) -> Rescale | None:
    """Slope and intercept; None unless both are there."""
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return None if slope is None or intercept is None else Rescale(slope, intercept)


def _frames(dataset: Dataset, slice_: CtSlice, count: int) -> Iterator[CtSlice]:
    """An enhanced CT's frames, each by its functional groups, else by the shared ones."""
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if len(per_frame) != count:
        raise NotASlice("damaged DICOM file")
    if count * math.prod(slice_.shape) > LIMITS.voxels:
        raise NotASlice(f"image of more than {LIMITS.voxels // 10**6} million voxels")
    for index, groups in enumerate(per_frame):
        flat = flattened(groups, shared)
        _check_kind_of_frame(flat)
        yield replace(
            slice_,
            frame=index,
            variant=(*slice_.variant, _number(flat, "TemporalPositionIndex")),
            plane=plane_of(flat),
            pixel_mm=pixel_mm_of(flat),
            rescale=rescale_of(flat),
            header=Dataset(),
        )


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


def _check_kind_of_frame(flat: Dataset) -> None:
    words = image_words(flat)
    if words & LOCALIZER_WORDS:
        raise NotASlice("localizer")
    if words & MAP_WORDS:
        raise NotASlice("perfusion map")
    if str(flat.get("RescaleType") or "HU").strip().upper() not in ("HU", "HU_MOD", "US"):
        raise NotASlice("map of another quantity than HU")


def _is_lossy(dataset: Dataset) -> bool:
    lossy = str(dataset.get("LossyImageCompression") or "").strip() == "01"
    return lossy or _meta(dataset, "TransferSyntaxUID") in LOSSY_SYNTAXES


def _may_show_text(dataset: Dataset, bits_stored: int) -> bool:
    """The signals of burned-in text that deid and CTP go by."""
    declared = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if declared:
        return declared == "YES"
    words = image_words(dataset)
    derived_copy = "DERIVED" in words and bits_stored <= 8
    return "SECONDARY" in words or derived_copy or "ConversionType" in dataset


def _kept(dataset: Dataset) -> Dataset:
    header = Dataset()
    for keyword in KEPT:
        if keyword in dataset:
            header.add(dataset[keyword])
    return header


def _meta(dataset: Dataset, keyword: str) -> str:
    return str(dataset.file_meta.get(keyword) or "")


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
        if not isinstance(value, int | float | str):
            value = value[0]
        found = float(value)
    except DAMAGE:
        return None
    return found if math.isfinite(found) else None
