"""Ground truth of any kind as a Segmentation on the scan's grid."""

from collections import defaultdict

import numpy as np

from ..errors import TruthMismatch
from ..sentences import Sentence, say
from ..volume import BACKGROUND, LIVER, TUMOR, Segmentation, Volume
from .alignment import (
    STACKED_AS_STORED,
    resampled,
    resampled_notice,
    same_grid,
    size_mismatch,
)
from .archive import Member
from .limits import LIMITS
from .nifti import Layout, as_stored, read_labels
from .pictures import natural_order, read_picture_masks
from .structure_names import OTHER_ORGANS, TUMOR_NAMES, structure_of, tumor_value


def nifti_truth(members: list[Member], volume: Volume) -> tuple[Segmentation, int]:
    """The label map among NIfTI files, and how many files were not needed.

    Of several, those count whose names, or their folders', say liver or its tumors; of two, the
    scan does not.
    """
    if len(members) == 1:
        return _one(members[0], volume), 0
    named = _by_structure(members)
    if named and len(named.get(LIVER, ())) <= 1:
        return _joined(named, volume), len(members) - sum(map(len, named.values()))
    if len(members) == 2:
        maps = [truth for member in members if (truth := _if_labels(member, volume))]
        if len(maps) == 1:
            return maps[0], 1
    raise TruthMismatch(say("truth.which_nifti", count=len(members)))


def _by_structure(members: list[Member]) -> dict[int, list[Member]]:
    """Those whose name, or their folder's, says liver or its tumors.

    Beside a file that is named as the liver, "tumor" or "lesion" alone is one of the liver.
    """
    named, alone = defaultdict(list), []
    for member in members:
        names = member.parts[-1].split(".")[0].lower(), *member.parts[-2:-1]
        structure = next(filter(None, map(structure_of, names)), None)
        if structure:
            named[structure].append(member)
        elif TUMOR_NAMES.search(names[0]) and not OTHER_ORGANS.search(names[0]):
            alone.append(member)
    if named[LIVER] and not named[TUMOR]:
        named[TUMOR] = alone
    return {structure: ones for structure, ones in named.items() if ones}


def _joined(named: dict[int, list[Member]], volume: Volume) -> Segmentation:
    """Masks of the liver and of its tumors as one segmentation."""
    labels = np.zeros(volume.shape, np.uint8)
    notices: list[str] = []
    for structure, members in named.items():
        for member in members:
            truth = _one(member, volume)
            found = truth.labels if truth.tumor.any() else truth.liver * np.uint8(structure)
            np.maximum(labels, found, out=labels)
            notices += truth.notices
    return Segmentation(labels, notices=tuple(dict.fromkeys(notices)))


def _if_labels(member: Member, volume: Volume) -> Segmentation | None:
    try:
        return _one(member, volume)
    except TruthMismatch:
        return None


def _one(member: Member, volume: Volume) -> Segmentation:
    """NIfTI labels: 0/1/2, or one mask."""
    labels, layout = read_labels(member, LIMITS.truth_voxels_for(volume.hu.size))
    labels = as_labels(labels)
    placed, notices = _on_grid(labels, layout, volume)
    return Segmentation(np.ascontiguousarray(placed), notices=notices)


def as_labels(values: np.ndarray) -> np.ndarray:
    """Values of a mask as background, liver and tumor.

    0/1/2 stay; of one other value the mask is the liver; of two the higher is the tumor, if it is
    a gray value and not the number of an organ.

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
        raise TruthMismatch(say("truth.many_values", count=len(found)))
    if len(found) == 2 and tumor_value(found) is None:
        raise TruthMismatch(say("truth.two_values", first=found[0], second=found[1]))
    lookup = np.zeros(256, np.uint8)
    lookup[found] = (LIVER, TUMOR)[: len(found)]
    return lookup[values]


def _on_grid(
    labels: np.ndarray, layout: Layout, volume: Volume
) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    is_placed = layout.is_oriented and layout.is_sized
    if is_placed and volume.affine is not None:
        if same_grid(layout.affine, layout.shape, volume):
            return labels, ()
        if not layout.is_identity:
            return resampled(labels, layout.affine, volume), (resampled_notice(layout.shape),)
    if not is_placed or layout.is_identity:  # as arrays are saved without the scan's header
        axcodes = volume.source.axcodes if volume.source else None
        labels = as_stored(labels, layout, axcodes)
    if labels.shape != volume.shape:
        raise size_mismatch(labels.shape, volume)
    return labels, (STACKED_AS_STORED,)


def picture_truth(members: list[Member], volume: Volume) -> Segmentation:
    """PNG or JPEG masks, in the order of their names, one per slice of the scan.

    Masks of liver and tumor may come as separate pictures whose folder says which.
    """
    by_structure = defaultdict(list)
    for member in natural_order(members):
        structure = structure_of(member.parts[-2] if len(member.parts) > 1 else "")
        by_structure[structure or BACKGROUND].append(member)
    labels = np.zeros(volume.shape, np.uint8)
    if by_structure.keys() <= {LIVER, TUMOR}:
        for structure, ones in by_structure.items():
            mask = read_picture_masks(ones, volume) > 0
            labels[mask] = np.maximum(labels[mask], structure)
    else:
        labels = as_labels(read_picture_masks(members, volume))
    notices = () if volume.windowed else (STACKED_AS_STORED,)
    return Segmentation(labels, notices=notices)
