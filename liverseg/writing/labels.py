"""Segmentations as files that lie where the scan lay: NIfTI, and PNG for pictures.

Nothing identifying is written: no header text, file names or UIDs.
"""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from ..volume import LPS_TO_RAS, Segmentation, Volume, affine_of
from .colors import LIVER, TUMOR, rgb

SCANNER = 1  # sform and qform code
SAME_PLACE_MM = 0.1
PALETTE = (0, 0, 0, *rgb(LIVER), *rgb(TUMOR))  # of labels 0, 1, 2


def write_nifti(image: Segmentation | Volume, volume: Volume, path: Path | str) -> Path:
    """Writes labels (0 background, 1 liver, 2 tumor), or HU, where the scan was.

    A NIfTI scan's labels get its own axes and both of its forms with their codes, so that they fit
    voxel by voxel in every program. Uneven slices get their mean distance, as converters of DICOM
    give them, and a single slice 1 mm. A form that cannot say it is left out (code 0): both where
    the scan does not say where it was, and the qform where the slices are tilted.

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
    sform, qform = volume.source.forms if volume.source else (None, None)
    if affine is None:
        nifti.set_sform(nifti.affine, 0)
        nifti.set_qform(nifti.affine, 0)
    elif sform or qform:
        nifti.set_sform(sform and sform.affine, sform.code if sform else 0)
        nifti.set_qform(qform and qform.affine, qform.code if qform else 0)
    else:
        nifti.set_sform(nifti.affine, SCANNER)
        nifti.set_qform(nifti.affine, SCANNER)
        if not _qform_fits(nifti):
            nifti.set_qform(None, 0)
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, path)
    return path


def _qform_fits(nifti: nibabel.Nifti1Image) -> bool:
    """Whether the qform, which knows no shear, puts all corners where the sform does."""
    i, j, k = (count - 1 for count in nifti.shape)
    corners = np.array(np.meshgrid([0, i], [0, j], [0, k], [1])).reshape(4, -1)
    apart = (nifti.get_qform() - nifti.get_sform()) @ corners
    return bool(np.linalg.norm(apart, axis=0).max() <= SAME_PLACE_MM)


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
