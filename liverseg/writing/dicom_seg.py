"""The segmentation as a DICOM SEG that refers to the scan it was made from.

The one export that names the scan: it carries the UIDs of its study, series and slices and the
patient ID, without which no viewer could lay it over them. Names, dates and everything else that
the scan's headers may hold are left empty.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UploadError
from ..reading.geometry import orientation_of, plane_from
from ..sentences import say
from ..volume import Segmentation, Volume
from . import colors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER = 900  # far from what scanners count


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

    kept = np.flatnonzero(segmentation.labels.any(axis=(1, 2)))
    headers = _headers(volume)
    if not kept.size:
        raise UploadError(say("seg.nothing_found"))
    first = headers[0]
    plane = plane_from(first.ImagePositionPatient, first.ImageOrientationPatient)
    assert plane is not None  # a scan with positions has it
    orientation = orientation_of(plane)
    frames = np.stack([orientation.undo(segmentation.labels[z]) for z in kept])
    segments = [frames > 0, frames == 2] if segmentation.tumor.any() else [frames > 0]
    frame_of_reference = hd.UID()  # for scans without one
    dataset = hd.seg.Segmentation(
        source_images=[_reference(headers[z], frame_of_reference) for z in kept],
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


def _headers(volume: Volume) -> tuple:
    source = volume.source
    if source is None or source.kind != "dicom":
        raise UploadError(say("seg.not_from_dicom"))
    if len(source.headers) != volume.shape[0] or source.positions_mm is None:
        raise UploadError(say("seg.no_reference"))
    return source.headers


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


def _reference(header: "Dataset", frame_of_reference: str) -> "Dataset":
    """A header with what a SEG needs of its scan and nothing else."""
    from pydicom.dataset import Dataset

    needed = (
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
    reference = Dataset()
    for keyword in needed:
        if keyword not in header:
            raise UploadError(say("seg.no_reference"))
        setattr(reference, keyword, header[keyword].value)
    reference.FrameOfReferenceUID = header.get("FrameOfReferenceUID") or frame_of_reference
    reference.SliceThickness = header.get("SliceThickness")
    reference.PatientID = header.get("PatientID", "")
    reference.Modality = "CT"
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"):
        setattr(reference, keyword, "")
    reference.StudyID, reference.StudyDate, reference.StudyTime = "", None, None
    return reference
