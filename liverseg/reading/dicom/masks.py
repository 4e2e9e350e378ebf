"""Masks as DICOM images: one folder per structure, as in 3D-IRCADb's MASKS_DICOM."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from ...errors import TruthMismatch
from ...sentences import Sentence, say
from ...volume import BACKGROUND, LIVER, TUMOR, Segmentation, Volume
from ..alignment import MaskPlane, assembled, few_values, others_ignored
from ..archive import Member, natural_key
from ..geometry import AS_STORED, orientation_of
from ..kinds import LeftOut
from ..structure_names import Said, said_by_path, structures_of, tumor_value
from .file import DAMAGE
from .kind import MODALITIES, NotASlice
from .pixels import stored_values
from .slice import CtSlice, image_slice

MASK_VALUES = 3  # distinct values that a mask may have
UNNAMED = say("truth.unnamed")


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
    names = [one.member.parts[-2] if len(one.member.parts) > 1 else "" for one in slices]
    by_name = {one.member.parts[:-1]: said_by_path(one.member.parts[:-1]) for one in slices}
    found = [by_name[one.member.parts[:-1]] for one in slices]
    structures: Sequence[int | None] = structures_of(names, found)
    notices: tuple[Sentence, ...] = ()
    if not any(structures):
        structures = _unnamed(slices, found)
        notices = (UNNAMED,)
    pairs = list(zip(slices, structures, strict=True))
    notices += others_ignored(len({one.member.parts[:-1] for one, what in pairs if not what}))
    named = [(one, structure) for one, structure in pairs if structure]
    named.sort(key=lambda pair: (pair[0].number or 0, natural_key(pair[0].member)))
    budget, voxels = slices[0].member.budget, sum(math.prod(one.shape) for one, _ in named)
    budget.spend("truth_voxels", voxels)
    budget.allow(voxels)
    planes = [_plane(one, structure) for one, structure in named]
    if LIVER not in structures or TUMOR not in structures:
        planes = _with_tumors(planes)
    truth = assembled(planes, volume)
    return replace(truth, notices=(*notices, *truth.notices))


def _unnamed(slices: list[CtSlice], found: list[Said]) -> list[int]:
    """Every slice as liver, where no name says otherwise and no place has two masks."""
    if Said.OTHER in found:
        raise TruthMismatch(say("truth.no_liver"))
    places = {None if one.plane is None else tuple(one.plane.position_mm) for one in slices}
    if None not in places and len(places) < len(slices):
        raise TruthMismatch(say("truth.which_is_liver"))
    return [LIVER] * len(slices)


def _with_tumors(planes: list[MaskPlane]) -> list[MaskPlane]:
    """Adds the tumors of label maps, 0/1/2 or two gray values, saved as DICOM images."""
    values = {value for plane in planes for value in few_values(plane.mask, MASK_VALUES)}
    tumor = tumor_value(sorted(values - {BACKGROUND}))
    if tumor is None:
        return planes
    livers = [replace(one, structure=LIVER) for one in planes]
    return livers + [replace(one, structure=TUMOR, mask=one.mask == tumor) for one in planes]


def _plane(one: CtSlice, structure: int) -> MaskPlane:
    pixels = next(stored_values([one]))
    if len(few_values(pixels, MASK_VALUES)) > MASK_VALUES:
        raise TruthMismatch(say("truth.images_not_masks"))
    orientation = orientation_of(one.plane) if one.plane is not None else AS_STORED
    return MaskPlane(structure, orientation.apply(pixels.clip(0, 255).astype(np.uint8)), one.grid)
