"""Ground truth of any kind as a Segmentation on the scan's grid."""

from collections import defaultdict

import numpy as np

from .archive import Member
from .dicom.masks import structure_of
from .errors import TruthMismatch
from .nifti import Layout, read_labels
from .picture import natural_order, read_picture_masks
from .placement import STACKED_AS_STORED, resampled, resampled_notice, same_grid, size_mismatch
from .volume import LIVER, TUMOR, Segmentation, Volume

ANY_LABELS = 100_000_000  # voxels that a label map may have for any scan
MOST_DETAIL = 8  # times the scan's voxels that a label map on a finer grid may have
NOT_LABELS = (
    "The ground truth holds {found}, but labels are needed: 0 background, 1 liver, 2 tumor; or one "
    "mask. Upload the label map drawn on this scan."
)


def nifti_truth(member: Member, volume: Volume) -> Segmentation:
    """NIfTI labels: 0/1/2, or one mask."""
    labels, layout = read_labels(member, max(ANY_LABELS, MOST_DETAIL * volume.hu.size))
    labels = as_labels(labels)
    placed, notices = _on_grid(labels, layout, volume)
    return Segmentation(np.ascontiguousarray(placed), notices=notices)


def as_labels(values: np.ndarray) -> np.ndarray:
    """Values of a mask as background, liver and tumor.

    0/1/2 stay; of one other value the mask is the liver; of two, the higher is the tumor.

    Args:
        values: uint8, any shape.
    """
    seen = np.zeros(256, bool)
    for part in values:
        seen[part] = True
    found = [int(value) for value in np.flatnonzero(seen) if value]
    if set(found) <= {LIVER, TUMOR}:
        return values
    if len(found) > 2:
        raise TruthMismatch(NOT_LABELS.format(found=f"{len(found)} different values"))
    lookup = np.zeros(256, np.uint8)
    lookup[found] = (LIVER, TUMOR)[: len(found)]
    return lookup[values]


def _on_grid(
    labels: np.ndarray, layout: Layout, volume: Volume
) -> tuple[np.ndarray, tuple[str, ...]]:
    affine = layout.affine if layout.is_oriented and layout.is_sized else None
    known = affine is not None and volume.source is not None and volume.source.affine is not None
    if known and same_grid(affine, layout.shape, volume):
        return labels, ()
    if known:
        return resampled(labels, affine, volume), (resampled_notice(layout.shape),)
    if layout.shape != volume.shape:
        raise size_mismatch(layout.shape, volume)
    return labels, (STACKED_AS_STORED,)


def picture_truth(members: list[Member], volume: Volume) -> Segmentation:
    """PNG or JPEG masks, in the order of their names, one per slice of the scan.

    Masks of liver and tumor may come as separate pictures whose folder says which.
    """
    by_structure = defaultdict(list)
    for member in natural_order(members):
        by_structure[structure_of(member.parts[-2] if len(member.parts) > 1 else "")].append(member)
    labels = np.zeros(volume.shape, np.uint8)
    if by_structure.keys() <= {LIVER, TUMOR}:
        for structure, ones in by_structure.items():
            mask = read_picture_masks(ones, volume) > 0
            labels[mask] = np.maximum(labels[mask], structure)
    else:
        labels = as_labels(read_picture_masks(members, volume))
    notices = () if volume.windowed else (STACKED_AS_STORED,)
    return Segmentation(labels, notices=notices)
