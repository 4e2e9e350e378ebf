"""What a DICOM file shows, in one word each, and whether that is CT in Hounsfield units."""

import re

from pydicom.dataset import Dataset

from ...sentences import Sentence, say
from ..kinds import LeftOut

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"  # and .2.1, .2.2 for enhanced and legacy converted CT
DICOMDIR = "1.2.840.10008.1.3.10"

MODALITIES = {
    "MR": LeftOut.MR,
    "PT": LeftOut.PET,
    "NM": LeftOut.NUCLEAR_MEDICINE,
    "US": LeftOut.ULTRASOUND,
    "CR": LeftOut.X_RAY,
    "DX": LeftOut.X_RAY,
    "RG": LeftOut.X_RAY,
    "XA": LeftOut.ANGIOGRAPHY,
    "RF": LeftOut.FLUOROSCOPY,
    "MG": LeftOut.MAMMOGRAPHY,
    "SEG": LeftOut.SEGMENTATION,
    "RTSTRUCT": LeftOut.CONTOURS,
    "RTPLAN": LeftOut.RADIOTHERAPY,
    "RTDOSE": LeftOut.RADIOTHERAPY,
    "SR": LeftOut.REPORT,
    "ECG": LeftOut.WAVEFORM,
    "PR": LeftOut.PRESENTATION_STATE,
    "KO": LeftOut.PRESENTATION_STATE,
}
LOCALIZER_WORDS = {"LOCALIZER", "SCOUT", "REF_SURVIEW", "TOPOGRAM", "SURVIEW"}
SCREEN_WORDS = {"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE"}
MAP_WORDS = {"RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "TTD", "PERFUSION", "PERMEABILITY"}
PROJECTION_WORDS = {"MIP", "MINIP", "MAXIP", "MAX_IP", "MIN_IP"}
HU_TYPES = {"HU", "HU_MOD", "US"}  # of RescaleType; US is "unspecified"
LOSSY_SYNTAXES = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}


# Of ImageType, where images were computed from two energies: maps of a substance, and images as of
# one energy. The short ones are the standard's for enhanced multi-energy CT, the others of vendors.
SPECTRAL_WORDS = re.compile(
    "IODINE|IOMAP|WATER|CALCIUM|FAT_MAP|MONO|KEV|VNC|VIRTUAL|Z ?EFF|"
    "VMI|EFF_ATOMIC|ELECTRON|MAT_[A-Z]"
)
INVERTED = say("dicom.inverted_gray")


class NotASlice(Exception):
    """Not a CT slice.

    Attributes:
        kind: what it is instead, to be counted.
    """

    def __init__(self, kind: LeftOut):
        super().__init__(kind)
        self.kind = kind


def check_kind(dataset: Dataset, has_pixels: bool) -> None:
    """NotASlice unless the header is that of a CT image in HU."""
    sop_class = str(dataset.get("SOPClassUID") or meta(dataset, "MediaStorageSOPClassUID"))
    modality = str(dataset.get("Modality") or "").strip().upper()
    if sop_class == DICOMDIR:
        raise NotASlice(LeftOut.DICOMDIR)
    if modality in MODALITIES:
        raise NotASlice(MODALITIES[modality])
    if not has_pixels or not dataset.get("Rows") or not dataset.get("Columns"):
        raise NotASlice(LeftOut.DICOM_WITHOUT_IMAGE)
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise NotASlice(LeftOut.SCREENSHOT)
    if modality != "CT" and not (modality == "" and sop_class.startswith(CT_IMAGE)):
        raise NotASlice(LeftOut.OTHER_DICOM)
    if "PerFrameFunctionalGroupsSequence" in dataset:  # each frame speaks for itself
        return
    check_contents(dataset)
    is_complete = (dataset.get("BitsStored") or 0) > 8 and is_placed(dataset)
    if not is_ct_image(dataset) and not is_complete:
        raise NotASlice(LeftOut.CAPTURE)


def is_ct_image(dataset: Dataset) -> bool:
    """Whether a file says that it is a CT image, or nothing; others are secondary captures."""
    sop_class = str(dataset.get("SOPClassUID") or meta(dataset, "MediaStorageSOPClassUID"))
    return not sop_class or sop_class.startswith(CT_IMAGE)


def check_contents(dataset: Dataset) -> None:
    """NotASlice where an image's or a frame's type says that it shows no anatomy in HU."""
    words = image_words(dataset)
    if words & SCREEN_WORDS:
        raise NotASlice(LeftOut.SCREENSHOT)
    if words & LOCALIZER_WORDS:
        raise NotASlice(LeftOut.LOCALIZER)
    if words & MAP_WORDS:
        raise NotASlice(LeftOut.PERFUSION_MAP)
    if PROJECTION_WORDS & {part for word in words for part in word.split()}:
        raise NotASlice(LeftOut.PROJECTION)
    if str(dataset.get("RescaleType") or "HU").strip().upper() not in HU_TYPES:
        raise NotASlice(LeftOut.NOT_HU)


def is_placed(dataset: Dataset) -> bool:
    """Whether a secondary capture, or a frame of one, has what research tools write of a CT."""
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept")
    return all(name in dataset for name in needed)


def image_words(dataset: Dataset) -> set[str]:
    """The values of ImageType."""
    words = dataset.get("ImageType") or ()
    words = [words] if isinstance(words, str) else words
    return {str(word).strip().upper() for word in words}


def remarks(dataset: Dataset) -> tuple[Sentence, ...]:
    """What is read all the same but has to be said of an image or a frame."""
    found = []
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    if photometric == "MONOCHROME1":
        found.append(INVERTED)
    if photometric == "PALETTE COLOR":
        found.append(say("dicom.palette"))
    if any(map(SPECTRAL_WORDS.search, image_words(dataset))):
        found.append(say("dicom.spectral"))
    return tuple(found)


def is_lossy(dataset: Dataset) -> bool:
    """Whether the pixels were ever compressed with loss."""
    declared = str(dataset.get("LossyImageCompression") or "").strip()
    return declared == "01" or meta(dataset, "TransferSyntaxUID") in LOSSY_SYNTAXES


def may_show_text(dataset: Dataset) -> bool:
    """The signals of burned-in text that deid and CTP go by."""
    declared = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if declared:
        return declared == "YES"
    words = image_words(dataset)
    is_copy = "DERIVED" in words and (dataset.get("BitsStored") or 16) <= 8
    return "SECONDARY" in words or is_copy or "ConversionType" in dataset


def meta(dataset: Dataset, keyword: str) -> str:
    """A value of the file meta information, empty where it is missing."""
    return str(dataset.file_meta.get(keyword) or "")
