"""DICOM SEG as ground truth: frames by position and segment number, never by their order."""

import re
from collections.abc import Iterator
from dataclasses import replace

from pydicom.dataset import Dataset

from ...errors import BrokenFile, TooLarge, TruthMismatch
from ...sentences import Sentence, say
from ...volume import LIVER, TUMOR, Segmentation, Volume
from ..alignment import MaskPlane, assembled, others_ignored
from ..archive import Member
from ..geometry import grid_of, orientation_of
from ..limits import LIMITS
from ..structure_names import LIVER_CODES, TUMOR_CODES, Said, said, structures_of
from .file import DAMAGE, HEAD_BYTES, read_dataset, read_header
from .masks import UNNAMED
from .pixels import decoded
from .slice import flattened, pixel_mm_of, plane_of

NO_NAME = re.compile(r"(segment|segmentation|mask|label|roi)?[ _-]*\d*")
FRACTION = 0.5  # from which a fractional segment counts


def read_seg(members: list[Member], volume: Volume) -> Segmentation:
    """The liver and tumor segments of one or several DICOM SEG files, on the scan's grid.

    Raises:
        TruthMismatch: no segment is a liver or a tumor, or they lie on another grid.
        BrokenFile, NoDecoder: a file cannot be read.
    """
    planes: list[MaskPlane] = []
    notices: dict[Sentence, None] = {}
    others = 0
    for member in members:
        try:
            header, _ = read_header(member, member.head(HEAD_BYTES))
            structures, ignored, contradicts = _structures(header)
            if not structures and len(members) == 1 and _is_unnamed(header):
                structures, ignored = {int(header.SegmentSequence[0].SegmentNumber): LIVER}, 0
                notices[UNNAMED] = None
            if contradicts:
                notices[say("truth.code_over_label")] = None
            others += ignored
            planes += _planes(member, header, structures)
        except (*DAMAGE, StopIteration):
            raise BrokenFile(say("truth.seg_damaged")) from None
    if not planes:
        raise TruthMismatch(say("truth.seg_without_liver"))
    truth = assembled(planes, volume)
    return replace(truth, notices=(*notices, *others_ignored(others), *truth.notices))


def _planes(member: Member, header: Dataset, structures: dict[int, int]) -> Iterator[MaskPlane]:
    shape = int(header.Rows), int(header.Columns)
    frames = header.PerFrameFunctionalGroupsSequence
    voxels = len(frames) * shape[0] * shape[1]
    if voxels > LIMITS.voxels or max(shape) > LIMITS.side:
        raise TooLarge(say("truth.seg_too_large", limits=LIMITS.sentence))
    labelmap = header.get("SegmentationType") == "LABELMAP"
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    flats = {index: flattened(groups, shared) for index, groups in enumerate(frames)}
    if not labelmap:
        flats = {
            index: flat
            for index, flat in flats.items()
            if int(flat.ReferencedSegmentNumber) in structures
        }
    wanted = len(flats) * shape[0] * shape[1] * (len(structures) if labelmap else 1)
    member.budget.spend("frames", len(frames))
    member.budget.spend("truth_voxels", wanted)
    member.budget.allow(wanted)
    if not wanted:
        return
    dataset = read_dataset(member, voxels)
    threshold: float = 1
    if dataset.get("SegmentationType") == "FRACTIONAL":
        threshold = FRACTION * int(dataset.get("MaximumFractionalValue") or 255)
    pixels = decoded(dataset, list(flats), shape, member.budget)
    for flat, values in zip(flats.values(), pixels, strict=True):
        plane, pixel_mm = plane_of(flat), pixel_mm_of(flat)
        if plane is None or pixel_mm is None:
            raise ValueError("a frame without a place")
        grid = grid_of(plane, pixel_mm, shape)
        values = orientation_of(plane).apply(values)
        if labelmap:
            for number, structure in structures.items():
                yield MaskPlane(structure, values == number, grid)
        else:
            structure = structures[int(flat.ReferencedSegmentNumber)]
            yield MaskPlane(structure, values >= threshold, grid)


def _structures(dataset: Dataset) -> tuple[dict[int, int], int, bool]:
    """Segment number to LIVER or TUMOR; how many are something else; whether a label contradicts.

    A coded concept decides, and where it names no structure ("tissue") the label does. Of which
    organ a tumor is, both may say.
    """
    numbers, labels, found, contradicts = [], [], [], False
    for segment in dataset.SegmentSequence:
        label = str(segment.get("SegmentLabel", ""))
        code, by_label = _coded(segment), said(label)
        if code == Said.SOME_TUMOR:  # of what?
            code = by_label if by_label in (Said.OTHER, Said.TUMOR) else code
        contradicts = contradicts or {LIVER, TUMOR} <= {
            *structures_of([label] * 2, [code, by_label])
        }
        numbers.append(int(segment.SegmentNumber))
        labels.append(label)
        found.append(by_label if code == Said.NOTHING else code)
    structures = dict(zip(numbers, structures_of(labels, found), strict=True))
    named = {number: structure for number, structure in structures.items() if structure}
    return named, len(structures) - len(named), contradicts


def _coded(segment: Dataset) -> Said:
    """What a segment's coded concepts say, by their codes, else by their meanings."""
    code, meaning = _concept(segment, "SegmentedPropertyTypeCodeSequence")
    region_code, region = _concept(segment, "AnatomicRegionSequence")
    in_liver = region_code in LIVER_CODES or said(region) == Said.LIVER
    if code in LIVER_CODES:
        return Said.LIVER
    found = (
        Said.SOME_TUMOR if code in TUMOR_CODES and said(meaning) != Said.TUMOR else said(meaning)
    )
    if found == Said.SOME_TUMOR and region:
        return Said.TUMOR if in_liver else Said.OTHER if said(region) == Said.OTHER else found
    return found


def _concept(segment: Dataset, keyword: str) -> tuple[str, str]:
    """The code and the meaning of a segment's first concept of a kind."""
    items = segment.get(keyword) or [Dataset()]
    return str(items[0].get("CodeValue", "")), str(items[0].get("CodeMeaning", ""))


def _is_unnamed(dataset: Dataset) -> bool:
    """Whether there is one segment, with no more of a name than programs give by themselves."""
    label = str(dataset.SegmentSequence[0].get("SegmentLabel", "")).strip().lower()
    return len(dataset.SegmentSequence) == 1 and bool(NO_NAME.fullmatch(label))
