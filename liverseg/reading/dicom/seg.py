"""DICOM SEG as ground truth: frames by position and segment number, never by their order."""

from collections.abc import Iterator
from dataclasses import replace

from pydicom.dataset import Dataset

from ...errors import BrokenFile, TooLarge, TruthMismatch
from ...sentences import Sentence, say
from ...volume import Segmentation, Volume
from ..alignment import MaskPlane, assembled, others_ignored
from ..archive import Member
from ..geometry import grid_of, orientation_of
from ..limits import LIMITS
from ..segments import Segment, structures_in
from .file import DAMAGE, HEAD_BYTES, read_dataset, read_header
from .pixels import decoded
from .slice import flattened, pixel_mm_of, plane_of

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
            segments = [_segment(one) for one in header.SegmentSequence]
            found = structures_in(segments, is_alone=len(members) == 1)
            notices |= dict.fromkeys((*found.said, *of_other_study(header, volume)))
            others += found.ignored
            numbers = [int(one.SegmentNumber) for one in header.SegmentSequence]
            structures = {n: one for n, one in zip(numbers, found.of, strict=True) if one}
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


def of_other_study(header: Dataset, volume: Volume) -> tuple[Sentence, ...]:
    """Says that a ground truth was drawn in another study than the scan's."""
    headers = volume.source.headers if volume.source else ()
    studies = {str(one.get("StudyInstanceUID") or "").strip() for one in (header, *headers[:1])}
    return (say("truth.other_study"),) if len(studies - {""}) > 1 else ()


def _segment(dataset: Dataset) -> Segment:
    type_ = _concept(dataset, "SegmentedPropertyTypeCodeSequence")
    region = _concept(dataset, "AnatomicRegionSequence")
    return Segment(str(dataset.get("SegmentLabel", "")), *type_, *region)


def _concept(segment: Dataset, keyword: str) -> tuple[str, str]:
    """The code and the meaning of a segment's first concept of a kind."""
    items = segment.get(keyword) or [Dataset()]
    return str(items[0].get("CodeValue", "")), str(items[0].get("CodeMeaning", ""))
