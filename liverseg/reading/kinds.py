"""What a file is, in one word each: those that are read, and those that are left out."""

from enum import StrEnum


class Readable(StrEnum):
    """Formats that are read."""

    DICOM = "dicom"
    NIFTI = "nifti"
    NRRD = "nrrd"
    METAIMAGE = "metaimage"
    MGH = "mgh"
    PNG = "png"
    JPEG = "jpeg"
    TIFF = "tiff"


class LeftOut(StrEnum):
    """What is counted as left out; the words for it are in the catalog of sentences."""

    ANGIOGRAPHY = "angiography"
    ARCHIVE = "archive"
    BROKEN_LINK = "broken_link"
    CAPTURE = "capture"
    CONTOURS = "contours"
    DAMAGED_DICOM = "damaged_dicom"
    DAMAGED_FILE = "damaged_file"
    DAMAGED_SLICE = "damaged_slice"
    DICOM_WITHOUT_IMAGE = "dicom_without_image"
    DICOM_WITHOUT_MASK = "dicom_without_mask"
    DICOMDIR = "dicomdir"
    DUPLICATE_SLICE = "duplicate_slice"
    EIGHT_BIT_PICTURE = "eight_bit_picture"
    EMPTY_FILE = "empty_file"
    FLUOROSCOPY = "fluoroscopy"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_WIDE = "image_too_wide"
    LOCALIZER = "localizer"
    MAMMOGRAPHY = "mammography"
    MASK = "mask"
    MR = "mr"
    MULTI_FRAME = "multi_frame"
    NIFTI = "nifti"
    NON_AXIAL_SLICE = "non_axial_slice"
    NOT_HU = "not_hu"
    NUCLEAR_MEDICINE = "nuclear_medicine"
    OTHER_DICOM = "other_dicom"
    OTHER_FILE = "other_file"
    OTHER_PICTURE = "other_picture"
    OTHER_SERIES = "other_series"
    PERFUSION_MAP = "perfusion_map"
    PET = "pet"
    PICTURE = "picture"
    PRESENTATION_STATE = "presentation_state"
    PROJECTION = "projection"
    RADIOTHERAPY = "radiotherapy"
    REPORT = "report"
    SAME_PLACE = "same_place"
    SCAN_SLICE = "scan_slice"
    SCREENSHOT = "screenshot"
    SEGMENTATION = "segmentation"
    SINGLE_SLICE = "single_slice"
    ULTRASOUND = "ultrasound"
    UNPLACED_SLICE = "unplaced_slice"
    VOLUME_FILE = "volume_file"
    WAVEFORM = "waveform"
    X_RAY = "x_ray"


OTHER_MODALITIES = frozenset(
    {
        LeftOut.ANGIOGRAPHY,
        LeftOut.FLUOROSCOPY,
        LeftOut.MAMMOGRAPHY,
        LeftOut.MR,
        LeftOut.NUCLEAR_MEDICINE,
        LeftOut.PET,
        LeftOut.ULTRASOUND,
        LeftOut.X_RAY,
    }
)
