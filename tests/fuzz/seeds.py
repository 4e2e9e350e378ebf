"""Tiny good files of every kind that liverseg reads, for the fuzzer to damage."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gdcm
import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
import tifffile
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    RLELossless,
)

from liverseg.phantom.files import placed, write_dicom, write_ircadb_masks
from liverseg.reading.upload import read_scan
from liverseg.volume import LIVER, TUMOR, Segmentation, Spacing, Volume
from liverseg.writing.dicom_seg import write_dicom_seg
from liverseg.writing.labels import write_nifti
from tests.helpers.make_dicom import rtstruct, to_bytes

SHAPE, SPACING = (3, 12, 16), Spacing(5.0, 0.7, 0.8)
COMPRESSIONS = {
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}


@dataclass(frozen=True)
class Seed:
    """An upload that is read without complaint.

    Attributes:
        kind: what it is, in a word.
        box: where a person drops it.
        files: bytes by path inside the upload.
        tumor_voxels: of a truth.
    """

    kind: str
    box: Literal["scan", "truth"]
    files: dict[str, bytes]
    tumor_voxels: int = 6


def make_scan() -> tuple[Volume, Segmentation]:
    """A lopsided patch of tissue in air, with its liver and tumor."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 3:-1, 4:-2] = np.arange(80).reshape(1, 8, 10) - 20 + 5 * np.arange(3)[:, None, None]
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 4:9, 5:12], labels[1, 5:7, 6:9] = LIVER, TUMOR
    return Volume(hu, SPACING), Segmentation(labels)


def make_seeds(folder: Path) -> tuple[list[Seed], Volume]:
    """All seeds, and the scan for which the ground truths among them are.

    Args:
        folder: an empty one, for the writers.
    """
    scan, truth = make_scan()
    slices = write_dicom(scan, folder / "ct", extension="")
    volume = read_scan(folder / "ct")
    seeds = [Seed("DICOM", "scan", _files(slices))]
    for kind, change in _encodings().items():
        seeds.append(Seed(kind, "scan", {path.name: change(path) for path in slices}))
    seeds.append(Seed("enhanced CT", "scan", {"enhanced": _enhanced(slices)}))
    seeds.append(Seed("zip", "scan", {"ct.zip": _zipped(_files(slices))}))
    for name, kind in (("ct.nii", "NIfTI"), ("ct.nii.gz", "packed NIfTI")):
        seeds.append(Seed(kind, "scan", _files([write_nifti(scan, placed(scan), folder / name)])))
    seeds += _volume_files(scan, folder)
    gray = np.clip(scan.hu + 100, 0, 255).astype(np.uint8)
    for format in ("PNG", "JPEG"):
        pictures = {
            f"{z}": _picture(Image.fromarray(plane), format) for z, plane in enumerate(gray)
        }
        seeds.append(Seed(format, "scan", pictures))
    for kind, array in (("TIFF", gray), ("measured TIFF", scan.hu)):
        seeds.append(Seed(kind, "scan", {"ct.tif": _tiff(array)}))
    return [*seeds, *_truths(truth, scan, volume, folder)], volume


def _volume_files(scan: Volume, folder: Path) -> list[Seed]:
    """A scan as NRRD, MetaImage and MGH."""
    image = _image(scan.hu, volume_of=placed(scan))
    seeds = []
    for name in ("ct.nrrd", "packed.nrrd", "ct.nhdr", "ct.mha", "packed.mha", "ct.mhd"):
        kept = folder / name.replace(".", "_")
        kept.mkdir()
        sitk.WriteImage(image, kept / name, useCompression=name.startswith("packed"))
        seeds.append(Seed(name, "scan", _files(sorted(kept.iterdir()))))
    mgh = nibabel.MGHImage(scan.hu.transpose(2, 1, 0).copy(), np.diag([-0.8, -0.7, 5, 1]))
    for name in ("ct.mgh", "ct.mgz"):
        nibabel.save(mgh, folder / name)
        seeds.append(Seed(name, "scan", _files([folder / name])))
    return seeds


def _image(array: np.ndarray, volume_of: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume_of.spacing[::-1])
    image.SetOrigin(volume_of.affine[:3, 3].tolist())
    return image


def _tiff(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="minisblack")
    return stream.getvalue()


def _segmentation(truth: Segmentation, volume: Volume, folder: Path) -> bytes:
    """As 3D Slicer writes it."""
    image = _image(truth.labels, volume)
    for number, name in enumerate(("liver", "tumor"), start=1):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", f"{number}")
        image.SetMetaData(f"Segment{number}_Layer", "0")
    path = folder / "Segmentation.seg.nrrd"
    sitk.WriteImage(image, path, useCompression=True)
    return path.read_bytes()


def _contours(truth: Segmentation, volume: Volume) -> bytes:
    """Rectangles around liver and tumors as RTSTRUCT."""
    rois: dict[str, list[np.ndarray]] = {"liver": [], "tumor": []}
    for name, mask in zip(rois, (truth.liver, truth.tumor), strict=True):
        for z in np.flatnonzero(mask.any(axis=(1, 2))):
            (top, left), (bottom, right) = np.argwhere(mask[z])[[0, -1]]
            ends = ((left, top), (right + 1, top), (right + 1, bottom + 1), (left, bottom + 1))
            corners = [volume.affine @ (x - 0.5, y - 0.5, z, 1) for x, y in ends]
            rois[name].append(np.array(corners)[:, :3])
    return to_bytes(rtstruct(rois))


def _truths(truth: Segmentation, scan: Volume, volume: Volume, folder: Path) -> list[Seed]:
    masks = write_ircadb_masks(truth, scan, folder)
    by_path = {str(path.relative_to(folder)): path for path in masks.rglob("image_*")}
    mask_files = {name: path.read_bytes() for name, path in by_path.items()}
    write_dicom_seg(truth, volume, folder / "seg.dcm", "fuzz")
    labels = write_nifti(truth, placed(scan), folder / "labels.nii")
    pictures = {}
    for z, plane in enumerate(truth.labels):
        picture = Image.fromarray(plane, "P")
        picture.putpalette([0, 0, 0, 0, 255, 0, 255, 0, 0])
        pictures[f"{z}.png"] = _picture(picture, "PNG")
    colors, jpegs = {}, {}
    for z, plane in enumerate(truth.labels):
        color = np.array([[0, 0, 0], [86, 180, 233], [230, 159, 0]], np.uint8)[plane]
        colors[f"{z}.png"] = _picture(Image.fromarray(color), "PNG")
        half = np.where(np.arange(plane.shape[1]) < 8, 0, 255)  # JPEG has blocks of 8 pixels
        half = np.broadcast_to(half.astype(np.uint8), plane.shape)
        jpegs[f"{z}.jpg"] = _picture(Image.fromarray(half), "JPEG")
    sitk.WriteImage(_image(truth.labels, volume), folder / "labels.mha")
    return [
        Seed("RTSTRUCT", "truth", {"contours": _contours(truth, volume)}),
        Seed("seg.nrrd", "truth", {"labels.seg.nrrd": _segmentation(truth, volume, folder)}),
        Seed("MetaImage labels", "truth", _files([folder / "labels.mha"])),
        Seed("TIFF masks", "truth", {"labels.tif": _tiff(truth.labels)}),
        Seed("color masks", "truth", colors),
        Seed("JPEG masks", "truth", jpegs, tumor_voxels=0),
        Seed("DICOM SEG", "truth", _files([folder / "seg.dcm"])),
        Seed("DICOM masks", "truth", mask_files),
        Seed("zip of masks", "truth", {"MASKS_DICOM.zip": _zipped(mask_files)}),
        Seed("NIfTI labels", "truth", _files([labels])),
        Seed("PNG masks", "truth", pictures),
    ]


def _encodings() -> dict[str, Callable[[Path], bytes]]:
    """Ways to store a slice, by their name."""

    def deflated(path: Path) -> bytes:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        return _bytes(dataset)

    def run_length(path: Path) -> bytes:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        return _bytes(dataset)

    by_gdcm = {
        name: lambda path, syntax=syntax: _compressed(path, syntax)
        for name, syntax in COMPRESSIONS.items()
    }
    return {"deflated DICOM": deflated, "RLE": run_length, **by_gdcm}


def _compressed(path: Path, syntax: int) -> bytes:
    """A DICOM file compressed by GDCM, which works on files."""
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(path))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    change.Change()
    target = path.with_suffix(".compressed")
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()
    content = target.read_bytes()
    target.unlink()
    return content


def _enhanced(slices: list[Path]) -> bytes:
    """The slices as one multi-frame file."""
    singles = [pydicom.dcmread(path) for path in slices]
    dataset = singles[0]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(singles)
    dataset.PerFrameFunctionalGroupsSequence = [_groups(single) for single in singles]
    dataset.PixelData = b"".join(single.PixelData for single in singles)
    return _bytes(dataset)


def _groups(single: Dataset) -> Dataset:
    """One frame's functional groups."""
    groups = Dataset()
    for sequence, keywords in {
        "PlanePositionSequence": ["ImagePositionPatient"],
        "PlaneOrientationSequence": ["ImageOrientationPatient"],
        "PixelMeasuresSequence": ["PixelSpacing"],
        "PixelValueTransformationSequence": ["RescaleSlope", "RescaleIntercept"],
    }.items():
        item = Dataset()
        for keyword in keywords:
            setattr(item, keyword, getattr(single, keyword))
        setattr(groups, sequence, [item])
    return groups


def _bytes(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _picture(picture: Image.Image, format: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format)
    return stream.getvalue()


def _files(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}
