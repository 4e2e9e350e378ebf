"""Masks as DICOM images: one folder per structure, as in 3D-IRCADb's MASKS_DICOM."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from ...errors import TruthMismatch
from ...sentences import Sentence, say
from ...volume import BACKGROUND, LIVER, TUMOR, Segmentation, Volume
from ..alignment import MaskPlane, assembled, few_values, others_ignored
from ..archive import Member, natural_key
from ..geometry import AS_STORED, orientation_of
from ..hounsfield import Rescale
from ..kinds import LeftOut
from ..mask_order import AS_STORED as IN_FILE_ORDER
from ..mask_order import BY_NUMBER, slices_for
from ..segments import UNNAMED
from ..structure_names import Said, labels_by_value, said, said_by_path, structures_of, tumor_value
from .file import DAMAGE
from .kind import INVERTED, MODALITIES, NotASlice
from .pixels import stored_values
from .scan import numbers_of
from .slice import CtSlice, image_slice

MASK_VALUES = 3  # distinct values that a mask may have
AS_WHOLE = 0.01  # from a whole number, after slope and intercept


def mask_slices(dataset: Dataset, has_pixels: bool, member: Member) -> list[CtSlice]:
    """A gray image of any modality, as a mask's slice; NotASlice for everything else."""
    try:
        modality = str(dataset.get("Modality") or "").strip().upper()
        if modality == "SEG":
            raise NotASlice(LeftOut.SEGMENTATION)
        if not has_pixels or not dataset.get("Rows") or dataset.get("SamplesPerPixel", 1) != 1:
            raise NotASlice(MODALITIES.get(modality, LeftOut.DICOM_WITHOUT_MASK))
        return [image_slice(dataset, member)]
    except DAMAGE:
        raise NotASlice(LeftOut.DAMAGED_DICOM) from None


def read_masks(slices: list[CtSlice], volume: Volume) -> Segmentation:
    """Mask slices of liver and tumors on the scan's grid.

    Raises:
        TruthMismatch: no liver among the structures, a scan instead of masks, or another grid.
    """
    names, found = _said(slices)
    structures: Sequence[int | None] = structures_of(names, found)
    notices: tuple[Sentence, ...] = ()
    if not any(structures):
        structures = _unnamed(slices, found)
        notices = (UNNAMED,)
    pairs = list(zip(slices, structures, strict=True))
    ignored = {one.member.parts[:-1] for one, structure in pairs if not structure}
    notices += others_ignored(len(ignored))
    named = [(one, structure) for one, structure in pairs if structure]
    named.sort(key=lambda pair: (pair[0].number or 0, natural_key(pair[0].member)))
    if any(INVERTED in one.remarks for one, _ in named):
        notices += (say("truth.inverted_masks"),)
    budget, voxels = slices[0].member.budget, sum(math.prod(one.shape) for one, _ in named)
    budget.spend("truth_voxels", voxels)
    budget.allow(voxels)
    order, is_known = _slices_for(named, volume)
    masks = [_mask(one, structure, z) for (one, structure), z in zip(named, order, strict=True)]
    planes = _meant(masks)
    truth = assembled(planes, volume, BY_NUMBER if is_known else IN_FILE_ORDER)
    return replace(truth, notices=(*notices, *truth.notices))


def _slices_for(named: list[tuple[CtSlice, int]], volume: Volume) -> tuple[list[int | None], bool]:
    """The slice of the scan that each mask belongs to if none has a place, and if numbers say so.

    None where a structure has another number of masks than the scan has slices.
    """
    order: list[int | None] = [None] * len(named)
    known = []
    for structure in {structure for _, structure in named}:
        indices = [index for index, pair in enumerate(named) if pair[1] == structure]
        if len(indices) != len(volume.hu):
            continue
        slices, is_known = slices_for(numbers_of([named[index][0] for index in indices]), volume)
        known.append(is_known)
        for index, z in zip(indices, slices.tolist(), strict=True):
            order[index] = z
    return order, bool(known) and all(known)


def _said(slices: list[CtSlice]) -> tuple[list[str], list[Said]]:
    """The names of masks, which are those of their folders, else their own; and what they say."""
    names, found = [], []
    of_folders = {
        folders: said_by_path(folders) for folders in {s.member.parts[:-1] for s in slices}
    }
    for one in slices:
        *folders, file = one.member.parts
        by_folder = of_folders[tuple(folders)]
        stem = file.split(".")[0]
        names.append(stem if by_folder == Said.NOTHING else folders[-1])
        found.append(said(stem) if by_folder == Said.NOTHING else by_folder)
    return names, found


def _unnamed(slices: list[CtSlice], found: list[Said]) -> list[int]:
    """Every slice as liver, where no name says otherwise and no place has two masks."""
    if Said.OTHER in found:
        raise TruthMismatch(say("truth.no_liver"))
    places = {None if one.plane is None else tuple(one.plane.position_mm) for one in slices}
    if None not in places and len(places) < len(slices):
        raise TruthMismatch(say("truth.which_is_liver"))
    return [LIVER] * len(slices)


@dataclass(frozen=True, eq=False)
class _Mask:
    """A decoded slice.

    Attributes:
        structure: by its name.
        stored: its distinct stored values.
        ranks: (y, x) uint8 in LPS, where which of them is.
        source: its header.
        z: the slice that it belongs to if it has no place.
    """

    structure: int
    stored: list[int]
    ranks: np.ndarray
    source: CtSlice
    z: int | None

    @property
    def rescaled(self) -> Sequence[float]:
        """Its distinct values after slope and intercept."""
        rescale = self.source.rescale
        if rescale is None or not rescale.plausible:
            rescale = Rescale(1, 0)
        return [rescale.slope * value + rescale.intercept for value in self.stored]

    def plane(self, structure: int, values: list[int]) -> MaskPlane:
        """Where it has one of its distinct values that are set, as a mask of a structure."""
        mask = np.array(values, np.uint8)[self.ranks]
        return MaskPlane(structure, mask, self.source.grid, self.z)


def _mask(one: CtSlice, structure: int, z: int | None) -> _Mask:
    pixels = next(stored_values([one]))
    stored = sorted(few_values(pixels, MASK_VALUES))
    if len(stored) > MASK_VALUES:
        raise TruthMismatch(say("truth.images_not_masks"))
    ranks = np.zeros(pixels.shape, np.uint8)
    for rank, value in enumerate(stored):
        ranks[pixels == value] = rank
    orientation = orientation_of(one.plane) if one.plane is not None else AS_STORED
    return _Mask(structure, stored, orientation.apply(ranks), one, z)


def _meant(masks: list[_Mask]) -> list[MaskPlane]:
    """What the values of masks mean; label maps, 0/1/2 or two grays, have tumors too."""
    planes = []
    has_liver = any(mask.structure == LIVER for mask in masks)
    for structure in (LIVER, TUMOR):
        ones = [mask for mask in masks if mask.structure == structure]
        values = _values(ones)
        found = sorted({value for ends in values for value in ends} - {BACKGROUND})
        if structure == LIVER or (not has_liver and tumor_value(found) is not None):
            labels = labels_by_value(found)
        else:
            labels = dict.fromkeys(found, TUMOR)
        for mask, its in zip(ones, values, strict=True):
            meant = [labels.get(value, BACKGROUND) for value in its]
            if LIVER in labels.values():
                planes.append(mask.plane(LIVER, [label > BACKGROUND for label in meant]))
            if TUMOR in labels.values():
                planes.append(mask.plane(TUMOR, [label == TUMOR for label in meant]))
            if not labels:
                planes.append(mask.plane(structure, [0] * len(its)))
    return planes


def _values(masks: list[_Mask]) -> list[list[int]]:
    """The distinct values of each mask: rescaled, or as stored where the rescale is of the scan.

    In the right reading the background is 0, and nothing is below.
    """
    for values in ([mask.rescaled for mask in masks], [mask.stored for mask in masks]):
        rounded = [[round(value) for value in ends] for ends in values]
        everything = [value for ends in values for value in ends]
        is_whole = all(abs(value - round(value)) <= AS_WHOLE for value in everything)
        if is_whole and round(min(everything, default=BACKGROUND)) == BACKGROUND:
            return rounded
    raise TruthMismatch(say("truth.no_background"))
