"""Many small studies as files, none equal to another, from one phantom."""

from pathlib import Path

import numpy as np

from liverseg import Segmentation, Spacing, make_phantom
from liverseg.phantom.files import placed
from liverseg.volume import Volume
from liverseg.writing.labels import write_nifti


def write_pairs(
    root: Path,
    count: int,
    shape: tuple[int, int, int] = (6, 48, 48),
    spacing: Spacing = Spacing(8.0, 7.5, 7.5),  # noqa: B008 - a tuple
) -> tuple[Path, Path]:
    """Scans with their truths in one folder, and predictions that are wrong in part in another."""
    volume, truth = make_phantom(0, shape=shape, spacing=spacing)
    for k in range(count):
        hu = volume.hu.copy()
        hu[0, 0, :2] = divmod(k, 1000)
        scan = placed(Volume(hu, volume.spacing))
        prediction = Segmentation(np.roll(truth.labels, 1 + k % 3, axis=2))
        for image, path in (
            (scan, f"in/case{k:04d}.nii.gz"),
            (truth, f"in/case{k:04d}_seg.nii.gz"),
            (prediction, f"mine/case{k:04d}.nii.gz"),
        ):
            write_nifti(image, scan, root / path)
    return root / "in", root / "mine"
