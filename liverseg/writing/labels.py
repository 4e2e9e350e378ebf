"""Segmentations as files that lie where the scan lay: NIfTI, and PNG for pictures.

Nothing identifying is written: no header text, file names or UIDs.
"""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from ..volume import LPS_TO_RAS, Segmentation, Volume, affine_of
from .colors import LIVER, TUMOR, rgb

PALETTE = (0, 0, 0, *rgb(LIVER), *rgb(TUMOR))  # of labels 0, 1, 2


def write_nifti(image: Segmentation | Volume, volume: Volume, path: Path | str) -> Path:
    """Writes labels (0 background, 1 liver, 2 tumor), or HU, where the scan was.

    A NIfTI scan's labels get its own axes, so that the arrays fit voxel by voxel. Uneven slices
    get their mean distance, as converters of DICOM give them, and a single slice 1 mm. Where the
    scan does not say where it was, neither does the file (sform and qform code 0).

    Args:
        image: what to write, on the scan's grid.
        volume: the scan, for its place.
        path: ends in .nii or .nii.gz; its folder is made where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = _affine(volume)
    array = image.hu if isinstance(image, Volume) else image.labels
    stored = np.ascontiguousarray(array.transpose(2, 1, 0))
    nifti = nibabel.Nifti1Image(stored, LPS_TO_RAS @ (np.eye(4) if affine is None else affine))
    if volume.source and volume.source.axcodes:
        axes = axcodes2ornt(volume.source.axcodes)
        nifti = nifti.as_reoriented(ornt_transform(axcodes2ornt("LPS"), axes))
    code = "unknown" if affine is None else "scanner"
    nifti.set_sform(nifti.affine, code)
    nifti.set_qform(nifti.affine, code)
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, path)
    return path


def _affine(volume: Volume) -> np.ndarray | None:
    """As `Volume.affine`; for uneven slices with their mean distance."""
    source, spacing = volume.source, volume.spacing
    if source is None or source.affine is not None or source.positions_mm is None:
        return volume.affine
    assert spacing is not None  # a scan with positions has it
    affine = affine_of(spacing)
    affine[:3, 3] = source.positions_mm[0]
    affine[:3, 2] = np.diff(source.positions_mm, axis=0).mean(axis=0)
    return affine


def write_png(segmentation: Segmentation, folder: Path | str) -> list[Path]:
    """Writes one palette PNG for each slice: index 0 background, 1 liver, 2 tumor.

    Returns:
        The files, in the order of z.
    """
    from PIL import Image

    paths = []
    width = len(str(len(segmentation.labels)))
    for number, labels in enumerate(segmentation.labels, start=1):
        picture = Image.fromarray(labels, mode="P")
        picture.putpalette(PALETTE)
        paths.append(Path(folder) / f"segmentation_{number:0{width}d}.png")
        picture.save(paths[-1], optimize=True)
    return paths
