"""The segmentation as a DICOM SEG that refers to the scan it was made from.

The one export that names the scan: it carries the UIDs of its study, series and slices and the
patient ID, without which no viewer could lay it over them. Names, dates and everything else that
the scan's headers may hold are left empty.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UploadError
from ..reading.geometry import orientation_of, plane_from
from ..sentences import Sentence, say
from ..volume import Segmentation, Volume
from . import colors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER = 900  # far from what scanners count
CLASSES = {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"}  # CT, secondary capture
UIDS = ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
UID_FORM = re.compile(r"(?=.{0,64}$)(\d+(\.\d+)*)?")  # some writers begin a part with 0
NEEDED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
)


def reason_against(segmentation: Segmentation, volume: Volume) -> Sentence | None:
    """Why no DICOM SEG can be made of a segmentation of this scan, or None.

    A SEG refers to each slice by its UID, and all of it lies in one frame of reference.
    """
    source = volume.source
    if source is None or source.kind != "dicom":
        return say("seg.not_from_dicom")
    headers = source.headers
    if len(headers) != volume.shape[0] or source.positions_mm is None:
        return say("seg.no_reference")
    if not all(header.get(keyword) for header in headers for keyword in NEEDED):
        return say("seg.no_reference")
    if not all(str(header.SOPClassUID) in CLASSES for header in headers):
        return say("seg.no_reference")
    frames, studies, series, images = (
        {str(header.get(keyword) or "") for header in headers} for keyword in UIDS
    )
    one_of_each = len(frames - {""}) <= 1 and len(studies) == len(series) == 1
    if not one_of_each or len(images) < len(headers):
        return say("seg.no_reference")
    if not all(UID_FORM.fullmatch(uid) for uid in frames | studies | series | images):
        return say("seg.no_reference")
    return None if segmentation.labels.any() else say("seg.nothing_found")


def write_dicom_seg(
    segmentation: Segmentation, volume: Volume, path: Path | str, identity: str
) -> None:
    """Writes liver (with its tumors) and, where there are any, tumors as binary segments.

    Args:
        segmentation: on the volume's grid.
        volume: as read from single-frame DICOM.
        path: of the file.
        identity: of the weights, stored as the algorithm's version.

    Raises:
        UploadError: the scan is not DICOM, cannot be referred to, or nothing was found.
    """
    import highdicom as hd

    reason = reason_against(segmentation, volume)
    if reason:
        raise UploadError(reason)
    assert volume.source is not None
    headers = volume.source.headers
    kept = np.flatnonzero(segmentation.labels.any(axis=(1, 2)))
    first = headers[0]
    plane = plane_from(first.ImagePositionPatient, first.ImageOrientationPatient)
    assert plane is not None  # a scan with positions has it
    orientation = orientation_of(plane)
    frames = np.stack([orientation.undo(segmentation.labels[z]) for z in kept])
    segments = [frames > 0, frames == 2] if segmentation.tumor.any() else [frames > 0]
    frames_of_reference = (header.get("FrameOfReferenceUID") for header in headers)
    frame_of_reference = next(filter(None, frames_of_reference), None) or hd.UID()
    dataset = hd.seg.Segmentation(
        source_images=[_reference(headers[z], first, frame_of_reference) for z in kept],
        pixel_array=np.stack(segments, axis=-1),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(len(segments), identity),
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="liverseg",
        manufacturer_model_name="liverseg",
        software_versions=identity,
        device_serial_number="none",
        content_label="LIVER",
        content_description="Liver and tumors. Not for diagnosis.",
        series_description="liverseg: teaching demo, not for diagnosis",
        specific_character_set="ISO_IR 192",
    )
    dataset.save_as(path)


def _descriptions(count: int, identity: str) -> list:
    """Liver and, for two segments, tumor, with the codes of SNOMED CT."""
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    liver = Code("10200004", "SCT", "Liver")
    algorithm = hd.AlgorithmIdentificationSequence(
        name="liverseg", family=codes.cid7162.ArtificialIntelligence, version=identity
    )
    known = (
        ("Liver", Code("123037004", "SCT", "Anatomical Structure"), liver),
        (
            "Liver tumor",
            Code("49755003", "SCT", "Morphologically Altered Structure"),
            Code("108369006", "SCT", "Neoplasm"),
        ),
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=[liver] if number == 2 else None,
            display_color=hd.color.CIELabColor.from_string(color),
        )
        for number, (label, category, kind), color in zip(
            range(1, count + 1), known, (colors.LIVER, colors.TUMOR), strict=False
        )
    ]


def _reference(header: "Dataset", first: "Dataset", frame_of_reference: str) -> "Dataset":
    """A header with what a SEG needs of its scan and nothing else.

    Args:
        header: of a slice.
        first: of the scan's first slice, whose orientation and pixels are those of all: they may
            be rounded otherwise.
        frame_of_reference: of all slices.
    """
    from pydicom.dataset import Dataset

    reference = Dataset()
    for keyword in NEEDED:
        setattr(reference, keyword, header[keyword].value)
    reference.PixelSpacing = first.PixelSpacing
    reference.ImageOrientationPatient = first.ImageOrientationPatient
    reference.FrameOfReferenceUID = frame_of_reference
    thickness = header.get("SliceThickness")
    reference.SliceThickness = thickness if isinstance(thickness, int | float) else None
    reference.PatientID = header.get("PatientID", "")
    reference.Modality = "CT"
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"):
        setattr(reference, keyword, "")
    reference.StudyID, reference.StudyDate, reference.StudyTime = "", None, None
    return reference
