"""Small real DICOM files of any geometry, encoding and oddity, from a few arguments.

    folder = write(series(4, gap_mm=5), tmp_path)             # four axial slices
    write([ct(0, RescaleSlope=None)], tmp_path)               # an attribute less
    write(series(3, syntax=JPEGLSLossless), tmp_path)         # compressed

An image is `body(z)`: tissue in air, without any symmetry, different on every slice, so that a test
sees every flip, transposition and change of order.
"""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
    SegmentationStorage,
    generate_uid,
)

ROWS, COLUMNS = 12, 16
AXIAL = (1, 0, 0, 0, 1, 0)
INTERCEPT = -1024
STUDY, SERIES, FRAME_OF_REFERENCE = (generate_uid() for _ in range(3))

GDCM_SYNTAXES = {
    "1.2.840.10008.1.2.4.57": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "1.2.840.10008.1.2.4.70": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "1.2.840.10008.1.2.4.80": gdcm.TransferSyntax.JPEGLSLossless,
    "1.2.840.10008.1.2.4.90": gdcm.TransferSyntax.JPEG2000Lossless,
    "1.2.840.10008.1.2.4.91": gdcm.TransferSyntax.JPEG2000,
}


def body(number: int = 0, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    """(rows, columns) int16 HU: a lopsided patch of tissue in air."""
    rows, columns = shape
    hu = np.full(shape, -1000, np.int16)
    patch = hu[rows // 4 : -1, columns // 4 : -2]
    patch[...] = np.arange(patch.size).reshape(patch.shape) % 97 + number
    return hu


def ct(
    z_mm: float = 0.0,
    *,
    hu: np.ndarray | None = None,
    stored: np.ndarray | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **attributes,
) -> Dataset:
    """One CT Image Storage slice.

    Args:
        z_mm: of ImagePositionPatient (-100, -200, z).
        hu: (rows, columns); `body(0)` by default, stored as uint16 with intercept -1024.
        stored: the stored values themselves instead.
        syntax: transfer syntax.
        attributes: by keyword, set last; None leaves one out.
    """
    if stored is None:
        hu = body() if hu is None else hu
        stored = (hu.astype(np.int32) - INTERCEPT).astype(np.uint16)
    dataset = _header(CTImageStorage)
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [-100.0, -200.0, z_mm]
    dataset.ImageOrientationPatient = list(AXIAL)
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.8], 5
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, INTERCEPT, "HU"
    dataset.InstanceNumber = 1
    set_pixels(dataset, stored)
    return changed(in_syntax(dataset, syntax), **attributes)


def series(
    count: int = 4, gap_mm: float = 5.0, start_mm: float = 0.0, **attributes
) -> list[Dataset]:
    """Axial slices at equal distances; the k-th from the feet shows `body(k)`."""
    return [
        ct(start_mm + k * gap_mm, hu=body(k), **{"InstanceNumber": k + 1, **attributes})
        for k in range(count)
    ]


def enhanced(count: int = 4, gap_mm: float = 5.0, **frame_attributes) -> Dataset:
    """An enhanced CT whose frames lie from head to feet, as the per-frame groups alone say."""
    dataset = _header(EnhancedCTImageStorage)
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    frames = np.stack([body(k) for k in reversed(range(count))])
    set_pixels(dataset, (frames.astype(np.int32) - INTERCEPT).astype(np.uint16))
    dataset.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence=[group(PixelSpacing=[0.7, 0.8])],
            PlaneOrientationSequence=[group(ImageOrientationPatient=list(AXIAL))],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = []
    for k in reversed(range(count)):
        groups = Dataset()
        groups.PlanePositionSequence = [group(ImagePositionPatient=[-100.0, -200.0, k * gap_mm])]
        groups.PixelValueTransformationSequence = [
            group(RescaleSlope=1, RescaleIntercept=INTERCEPT, RescaleType="HU")
        ]
        frame_type = {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], **frame_attributes}
        groups.CTImageFrameTypeSequence = [group(**frame_type)]
        dataset.PerFrameFunctionalGroupsSequence.append(groups)
    return dataset


def seg(
    masks: dict[str, np.ndarray],
    *,
    gap_mm: float = 5.0,
    fractional: bool = False,
    order: int = -1,
    spacing: tuple[float, float] = (0.7, 0.8),
) -> Dataset:
    """A DICOM SEG.

    Args:
        masks: (z, rows, columns) by segment label, 0 or 1, or 0 to 1 where fractional; z from feet.
        gap_mm: between slices, the first at z = 0.
        fractional: FRACTIONAL instead of BINARY.
        order: -1 writes the frames from the head, 1 from the feet.
        spacing: PixelSpacing.
    """
    dataset = _header(SegmentationStorage)
    dataset.Modality, dataset.SegmentationType = "SEG", "FRACTIONAL" if fractional else "BINARY"
    dataset.SegmentSequence, dataset.PerFrameFunctionalGroupsSequence, frames = [], [], []
    for number, (label, mask) in enumerate(masks.items(), start=1):
        dataset.SegmentSequence.append(group(SegmentNumber=number, SegmentLabel=label))
        for k in range(len(mask))[::order]:
            groups = Dataset()
            position = [-100.0, -200.0, k * gap_mm]
            groups.PlanePositionSequence = [group(ImagePositionPatient=position)]
            groups.SegmentIdentificationSequence = [group(ReferencedSegmentNumber=number)]
            dataset.PerFrameFunctionalGroupsSequence.append(groups)
            frames.append(mask[k])
    dataset.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence=[group(PixelSpacing=list(spacing))],
            PlaneOrientationSequence=[group(ImageOrientationPatient=list(AXIAL))],
        )
    ]
    frames = np.stack(frames)
    if fractional:
        dataset.MaximumFractionalValue = 200
        set_pixels(dataset, np.rint(frames * 200).astype(np.uint8))
    else:
        set_pixels(dataset, frames.astype(np.uint8))
        dataset.PixelData = np.packbits(frames.astype(bool).ravel(), bitorder="little").tobytes()
        dataset.PixelData += b"\0" * (len(dataset.PixelData) % 2)
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
    return dataset


def group(**attributes) -> Dataset:
    """A dataset of nothing but these attributes, for a sequence."""
    return changed(Dataset(), **attributes)


def changed(dataset: Dataset, **attributes) -> Dataset:
    """The dataset with attributes set, or left out where None."""
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def set_pixels(dataset: Dataset, stored: np.ndarray) -> None:
    """Puts (rows, columns) or (frames, rows, columns) of integers into a dataset."""
    bits = 8 * stored.itemsize
    if stored.ndim == 3:
        dataset.NumberOfFrames = len(stored)
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def in_syntax(dataset: Dataset, syntax: str) -> Dataset:
    """The dataset in another transfer syntax; GDCM compresses, pydicom does RLE."""
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif syntax in GDCM_SYNTAXES:
        return _compressed(dataset, GDCM_SYNTAXES[syntax])
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """As a file holds it."""
    stream = BytesIO()
    implicit = dataset.file_meta.TransferSyntaxUID.is_implicit_VR
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    dataset.save_as(
        stream, implicit_vr=implicit, little_endian=little, enforce_file_format=True, overwrite=True
    )
    return stream.getvalue()


def write(datasets: list[Dataset], folder: Path, name: str = "image_{}") -> Path:
    """One file each, without extension, named in an order that is not that of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        (folder / name.format((number * 7 + 3) % 1009)).write_bytes(to_bytes(dataset))
    return folder


def _header(sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.PatientName, dataset.PatientID = "Canary^Patient", "CANARY-ID"
    return dataset


def _compressed(dataset: Dataset, syntax: int) -> Dataset:
    """Compressed by GDCM, which works on files."""
    with TemporaryDirectory() as folder:
        plain, compressed = Path(folder, "plain"), Path(folder, "compressed")
        plain.write_bytes(to_bytes(dataset))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(compressed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return pydicom.dcmread(BytesIO(compressed.read_bytes()))


def rtstruct(rois: dict[str, list[np.ndarray]], types: dict[str, str] | None = None) -> Dataset:
    """Contours in mm by the names of their ROIs."""
    one = ct(Modality="RTSTRUCT", SOPClassUID=RTStructureSetStorage, PixelData=None)
    one.StructureSetROISequence, one.ROIContourSequence = [], []
    one.RTROIObservationsSequence = []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn, seen = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        seen.ReferencedROINumber = number
        seen.RTROIInterpretedType = (types or {}).get(name, "")
        for points in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [f"{value:.6g}" for value in points.ravel()]
            drawn.ContourSequence.append(item)
        one.StructureSetROISequence.append(roi)
        one.ROIContourSequence.append(drawn)
        one.RTROIObservationsSequence.append(seen)
    return one
