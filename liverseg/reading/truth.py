"""Ground truth of any kind as a Segmentation on the scan's grid."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from ..errors import TruthMismatch
from ..sentences import Sentence, say
from ..volume import BACKGROUND, LIVER, TUMOR, Segmentation, Volume
from .alignment import (
    others_ignored,
    place_is_lost,
    resampled,
    resampled_notice,
    same_grid,
    size_mismatch,
)
from .archive import Member
from .choice import Answers
from .file_names import slice_numbers
from .limits import LIMITS
from .mask_order import AS_STORED, BY_NUMBER, slices_for, some_slices_for
from .picture_masks import read_picture_masks
from .pictures import natural_order
from .structure_names import Said, labels_by_value, plain, said, said_by_path, structures_of
from .volume_file import Layout, as_stored, read_labels

# What programs write that save an array without the scan's header; other axes were known to them.
UNKNOWN_AXES = {tuple("RAS"), tuple("LPS")}


def nifti_truth(members: list[Member], volume: Volume) -> tuple[Segmentation, int]:
    """The label map among NIfTI files, and how many files were not needed.

    Of several, those count whose names, or their folders', say liver or its tumors; of two, the
    scan does not.
    """
    found = [said_by_path((*one.parts[:-1], _stem(one))) for one in members]
    structures = structures_of([_stem(one) for one in members], found)
    if len(members) == 1:
        lone = _one(members[0], volume, structures[0])
        notices = (say("truth.other_name"),) if found[0] == Said.OTHER else ()
        return replace(lone, notices=(*notices, *lone.notices)), 0
    named = [pair for pair in zip(members, structures, strict=True) if pair[1]]
    livers = [plain(_stem(member)) for member, structure in named if structure == LIVER]
    if named and len(livers) == len(set(livers)):
        truth, count = _joined(named, volume)
        if truth is not None:
            return truth, len(members) - count
    if len(members) == 2:
        maps = [one for member in members if (one := _if_labels(member, volume))]
        if len(maps) == 1:
            return maps[0], 1
    raise TruthMismatch(say("truth.which_nifti", count=len(members)))


def _stem(member: Member) -> str:
    """A file's name without its endings."""
    return member.parts[-1].split(".")[0]


def _joined(
    named: list[tuple[Member, int | None]], volume: Volume
) -> tuple[Segmentation | None, int]:
    """Masks of the liver and of its tumors as one segmentation, and how many these were.

    A scan may be named after what it shows; it is left out.
    """
    labels = np.zeros(volume.shape, np.uint8)
    notices: list[str] = []
    count = 0
    for member, structure in named:
        try:
            truth = _one(member, volume, structure)
        except TruthMismatch as refusal:
            if refusal.code != "truth.not_labels":
                raise
            continue
        count += 1
        np.maximum(labels, truth.labels, out=labels)
        notices += truth.notices
    return Segmentation(labels, notices=tuple(dict.fromkeys(notices))) if count else None, count


def _if_labels(member: Member, volume: Volume) -> Segmentation | None:
    try:
        return _one(member, volume)
    except TruthMismatch:
        return None


def _one(member: Member, volume: Volume, structure: int | None = None) -> Segmentation:
    """A label map: 0/1/2, or one mask, of the liver unless its name says tumor."""
    found = read_labels(member, LIMITS.truth_voxels_for(volume.hu.size))
    labels = found.values if found.are_named else as_labels(found.values)
    placed, notices = _on_grid(labels, found.layout, volume)
    labels = np.ascontiguousarray(placed)
    if not found.are_named:
        labels = _of_structure(labels, structure)
    return Segmentation(labels, notices=(*found.said, *notices))


def _of_structure(labels: np.ndarray, structure: int | None) -> np.ndarray:
    """Labels, where a lone mask is what its name says."""
    if structure == TUMOR and labels.max() < TUMOR:
        return np.where(labels, np.uint8(TUMOR), np.uint8(0))
    return labels


def as_labels(values: np.ndarray) -> np.ndarray:
    """Values of a mask, uint8 of any shape, as background, liver and tumor."""
    seen = np.zeros(256, bool)
    for part in values:
        seen[part] = True
    if not seen[BACKGROUND]:
        raise TruthMismatch(say("truth.no_background"))
    labels = labels_by_value([int(value) for value in np.flatnonzero(seen) if value])
    if all(value == label for value, label in labels.items()):
        return values
    lookup = np.zeros(256, np.uint8)
    lookup[list(labels)] = list(labels.values())
    return lookup[values]


def _on_grid(
    labels: np.ndarray, layout: Layout, volume: Volume
) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    is_placed = layout.is_oriented and layout.is_sized
    lost = not is_placed or layout.is_identity
    if is_placed and volume.affine is not None:
        if same_grid(layout.affine, layout.shape, volume):
            return labels, ()
        lost = layout.is_identity or place_is_lost(layout.affine, layout.shape, volume)
        if not lost:
            return resampled(labels, layout.affine, volume), (resampled_notice(layout.shape),)
    if lost and (not is_placed or layout.is_identity or layout.axcodes in UNKNOWN_AXES):
        axcodes = volume.source.axcodes if volume.source else None
        labels = as_stored(labels, layout, axcodes)
        if axcodes is None and labels.shape == volume.shape:
            labels = _in_file_order(labels, slices_for((), volume)[0])
    if labels.shape != volume.shape:
        raise size_mismatch(labels.shape, volume)
    return labels, (AS_STORED,)


def _in_file_order(labels: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """Masks, (z, y, x), each on the slice that it belongs to."""
    if np.array_equal(slices, np.arange(len(slices))):
        return labels
    placed = np.empty_like(labels)
    placed[slices] = labels
    return placed


def picture_truth(members: list[Member], volume: Volume, answers: Answers) -> Segmentation:
    """PNG or JPEG masks, in the order of their names, one per slice of the scan.

    Masks of liver and tumor may come as separate pictures whose names or folders say which.
    """
    groups, others = _picture_groups(members)
    if not any(structure for structure, _ in groups):
        if others and not groups:
            raise TruthMismatch(say("truth.no_liver"))
        groups = [(None, [one for _, ones in groups for one in ones])]
    else:
        others += sum(not structure for structure, _ in groups)
        groups = [group for group in groups if group[0]]
    labels = np.zeros(volume.shape, np.uint8)
    notices: list[str] = [*others_ignored(others)]
    for structure, ones in groups:
        slices, said_of_order = _slices_of(ones, volume)
        found, said_of_colors = read_picture_masks(ones, volume, answers)
        found = _of_structure(found, structure)
        for z, plane in zip(slices.tolist(), found, strict=True):
            np.maximum(labels[z], plane, out=labels[z])
        notices += (*said_of_colors, *said_of_order)
    if AS_STORED in notices and BY_NUMBER in notices:
        notices.remove(BY_NUMBER)
    return Segmentation(labels, notices=tuple(dict.fromkeys(notices)))


def _slices_of(members: list[Member], volume: Volume) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    """The slice that each picture, in natural order, belongs to, and what is to be said of that."""
    numbers = slice_numbers(natural_order(members))
    count = len(volume.hu)
    if len(members) < count and (some := some_slices_for(numbers, volume)) is not None:
        lacking = say("truth.slices_without_masks", count=count - len(members))
        return some, (lacking,) if volume.windowed else (BY_NUMBER, lacking)
    if len(members) != count:
        raise TruthMismatch(say("truth.picture_count", found=len(members), needed=count))
    slices, is_known = slices_for(() if numbers is None else (numbers,), volume)
    if volume.windowed and is_known:  # names are all that pictures have
        return slices, ()
    return slices, (BY_NUMBER if is_known else AS_STORED,)


def _picture_groups(members: list[Member]) -> tuple[list[tuple[int | None, list[Member]]], int]:
    """Pictures by what they show, folder by folder, and how many groups show something else."""
    groups = defaultdict(list)
    for member in members:
        found = said(_stem(member))
        if found == Said.NOTHING:
            name, found = member.parts[-2:-1], said_by_path(member.parts[:-1])
        else:
            name = (plain(_stem(member)),)
        groups[member.parts[:-1], name, found].append(member)
    names = [" ".join(name) for _, name, _ in groups]
    structures = structures_of(names, [found for *_, found in groups])
    kept, others = [], 0
    for structure, ((*_, found), ones) in zip(structures, groups.items(), strict=True):
        if structure is None and found != Said.NOTHING:
            others += 1
        else:
            kept.append((structure, ones))
    return kept, others
