"""A phantom as files a person could upload: a CT series, 3D-IRCADb masks.

Every header is fictitious. The UIDs are made from the pixels, so the same phantom always gets the
same ones and two phantoms never share any.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ..volume import Segmentation, Source, Spacing, Volume, affine_of

STORED_INTERCEPT = -1024  # HU of a stored 0, as most scanners have it


def write_dicom(volume: Volume, folder: Path | str, extension: str = ".dcm") -> list[Path]:
    """Writes a CT series, one file per slice, first the lowest.

    Args:
        volume: spacing must be known, along z too unless there is only one slice.
        folder: made where it is missing.
        extension: may be empty, as on a hospital's CD.

    Returns:
        The files in the order of z.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    width = len(str(len(volume.hu)))
    identity = _identity(volume)
    paths = []
    for z, hu in enumerate(volume.hu):
        dataset = _slice_header(volume, z, identity, "ct")
        _set_pixels(dataset, (hu - STORED_INTERCEPT).astype(np.int16))
        dataset.RescaleIntercept, dataset.RescaleSlope = STORED_INTERCEPT, 1
        dataset.RescaleType = "HU"
        dataset.WindowCenter, dataset.WindowWidth = 50, 400
        paths.append(folder / f"slice_{z + 1:0{width}d}{extension}")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_ircadb_masks(segmentation: Segmentation, volume: Volume, folder: Path | str) -> Path:
    """Writes masks in 3D-IRCADb's layout: MASKS_DICOM/<structure>/image_k, 8-bit 0 and 255.

    As there, the masks claim to be CT and carry the scan's geometry, the files have no extension,
    and a structure that does not occur has no folder.

    Returns:
        The folder MASKS_DICOM.
    """
    root, identity = Path(folder) / "MASKS_DICOM", _identity(volume)
    for name, mask in (("liver", segmentation.liver), ("livertumor", segmentation.tumor)):
        if not mask.any():
            continue
        (root / name).mkdir(parents=True, exist_ok=True)
        for z, plane in enumerate(mask):
            dataset = _slice_header(volume, z, identity, name)
            _set_pixels(dataset, np.where(plane, 255, 0).astype(np.uint8))
            dataset.save_as(root / name / f"image_{z}", enforce_file_format=True)
    return root


def placed(volume: Volume) -> Volume:
    """The volume where its files say that it lies, so that NIfTI files can be written there."""
    return replace(volume, source=Source("nifti", lps_affine(volume)))


def lps_affine(volume: Volume) -> np.ndarray:
    """(4, 4) float, voxel (x, y, z, 1) to LPS mm; the grid's center is at 0."""
    affine = affine_of(Spacing(*_voxel_mm(volume)))
    affine[:3, 3] = -np.diag(affine)[:3] * (np.array(volume.shape[::-1]) - 1) / 2
    return affine


def _voxel_mm(volume: Volume) -> tuple[float, float, float]:
    """(z, y, x), a lone slice counted as 1 mm thick; ValueError where it is not known."""
    spacing = volume.spacing
    if spacing is None or (spacing.z is None and volume.shape[0] > 1):
        raise ValueError(f"files need a known spacing, got {spacing}")
    return spacing.z or 1.0, spacing.y, spacing.x


def _identity(volume: Volume) -> str:
    """What this volume's UIDs are made from."""
    return hashlib.sha256(volume.hu.tobytes()).hexdigest()


def _slice_header(volume: Volume, z: int, identity: str, series: str) -> Dataset:
    """A CT Image Storage header without pixels; slices of one series share its UIDs."""
    (z_mm, y_mm, x_mm), affine = _voxel_mm(volume), lps_affine(volume)

    def uid(*parts: str) -> str:
        return generate_uid(entropy_srcs=[identity, *parts])

    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid(series, str(z))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series", series)
    dataset.FrameOfReferenceUID = uid("frame")
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BurnedInAnnotation = "NO"
    dataset.PatientName, dataset.PatientID = "Phantom^Synthetic", "PHANTOM"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20000101", "120000", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.Manufacturer, dataset.BodyPartExamined = "liverseg phantom", "ABDOMEN"
    dataset.SeriesDescription = "Synthetic abdomen" if series == "ct" else series
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 1, z + 1
    dataset.KVP, dataset.PatientPosition, dataset.PositionReferenceIndicator = 120, "HFS", ""
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    position = [_decimal(value) for value in (affine @ (0, 0, z, 1))[:3]]
    dataset.ImagePositionPatient, dataset.SliceLocation = position, position[2]
    dataset.PixelSpacing = [_decimal(y_mm), _decimal(x_mm)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(z_mm)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _decimal(value: float) -> float:
    """Fits the 16 characters of a DICOM decimal string."""
    return round(float(value), 6)


def _set_pixels(dataset: Dataset, stored: np.ndarray) -> None:
    """Puts one slice, (y, x) uint8 or int16, into a dataset."""
    bits = 8 * stored.itemsize
    dataset.set_pixel_data(stored, "MONOCHROME2", bits, generate_instance_uid=False)
