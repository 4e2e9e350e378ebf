"""Segmentations as files that lie where the scan lay: NIfTI, and PNG for pictures.

Nothing identifying is written: no header text, file names or UIDs.
"""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from ..volume import BACKGROUND, HU_MIN, LPS_TO_RAS, Segmentation, Volume, affine_of
from .colors import LIVER, TUMOR, rgb

SCANNER = 1  # sform and qform code
SAME_PLACE_MM = 0.1
PALETTE = (0, 0, 0, *rgb(LIVER), *rgb(TUMOR))  # of labels 0, 1, 2


def write_nifti(image: Segmentation | Volume, volume: Volume, path: Path | str) -> Path:
    """Writes labels (0 background, 1 liver, 2 tumor), or HU, where the scan was.

    A NIfTI scan's labels get its own axes and both of its forms with their codes, so that they fit
    voxel by voxel in every program. Uneven slices get their mean distance, as converters of DICOM
    give them, and a single slice 1 mm. Tilted slices are moved onto a straight grid, see
    `straightened`. Where the scan does not say where it was, neither form does (code 0).

    Args:
        image: what to write, on the scan's grid.
        volume: the scan, for its place.
        path: ends in .nii or .nii.gz; its folder is made where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = _affine(volume)
    array, outside = (image.hu, HU_MIN) if isinstance(image, Volume) else (image.labels, BACKGROUND)
    sform, qform = volume.source.forms if volume.source else (None, None)
    if affine is not None and not (sform or qform):
        array, affine = straightened(array, affine, outside)
    stored = np.ascontiguousarray(array.transpose(2, 1, 0))
    somewhere = affine_of(volume.spacing) if volume.spacing else np.eye(4)
    nifti = nibabel.Nifti1Image(stored, LPS_TO_RAS @ (somewhere if affine is None else affine))
    if volume.source and volume.source.axcodes:
        axes = axcodes2ornt(volume.source.axcodes)
        nifti = nifti.as_reoriented(ornt_transform(axcodes2ornt("LPS"), axes))
    if affine is None:
        nifti.set_sform(nifti.affine, 0)
        nifti.set_qform(nifti.affine, 0)
    elif sform or qform:
        nifti.set_sform(sform and sform.affine, sform.code if sform else 0)
        nifti.set_qform(qform and qform.affine, qform.code if qform else 0)
    else:
        nifti.set_sform(nifti.affine, SCANNER)
        nifti.set_qform(nifti.affine, SCANNER)
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, path)
    return path


def straightened(
    array: np.ndarray, affine: np.ndarray, outside: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slices that a tilted gantry shifted against one another, on a grid with right angles.

    NIfTI's qform, and ITK altogether, know no other grid: they would lay the slices on one another
    and be centimeters off. So each slice is moved within its plane by whole pixels, which leaves
    its values as they are and every pixel within half a pixel of its place, as dcm2niix does for
    scans; the rows and columns that this takes are added.

    Args:
        array: (z, y, x).
        affine: (4, 4) voxel (x, y, z, 1) to LPS mm.
        outside: the value of what is added.

    Returns:
        The array and its affine; both as they are where no corner moves by 0.1 mm.
    """
    step_x, step_y, step_z = affine[:3, :3].T
    normal = np.cross(step_x, step_y)
    normal /= np.linalg.norm(normal)
    per_slice = np.array([step_z @ step / (step @ step) for step in (step_y, step_x)])
    numbers = np.arange(len(array))[:, None]
    drift = np.linalg.norm(step_z - normal * (step_z @ normal)) * (len(array) - 1)
    if drift <= SAME_PLACE_MM:
        return array, affine
    shifts = np.rint(numbers * per_slice).astype(int)  # (z, 2) along y and x
    first = shifts.min(axis=0)
    shifts -= first
    rows, columns = np.array(array.shape[1:]) + shifts.max(axis=0)
    moved = np.full((len(array), rows, columns), outside, array.dtype)
    for target, plane, (down, right) in zip(moved, array, shifts, strict=True):
        target[down : down + plane.shape[0], right : right + plane.shape[1]] = plane
    straight = affine.copy()
    straight[:3, 2] = normal * (step_z @ normal)
    straight[:3, 3] += step_y * first[0] + step_x * first[1]
    return moved, straight


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
