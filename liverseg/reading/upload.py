"""From what a person uploads to a scan, and to a ground truth on its grid."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from pydicom.dataset import Dataset

from ..errors import (
    BrokenFile,
    NotAScan,
    TooLarge,
    TruthMismatch,
    UploadError,
)
from ..sentences import Sentence, say
from ..volume import BACKGROUND, LIVER, TUMOR, Segmentation, Source, Volume
from .archive import Member, Paths, open_upload, too_many
from .budget import Budget
from .choice import OFFER, Answers, Choice, Given, Question, describe_scan, numbered
from .dicom.contours import read_contours
from .dicom.file import HEAD_BYTES, read_header
from .dicom.kind import NotASlice
from .dicom.masks import mask_slices, read_masks
from .dicom.scan import read_series
from .dicom.seg import read_seg
from .dicom.series import choose_series
from .dicom.slice import CtSlice, ct_slices
from .filetype import kind_of
from .kinds import LeftOut, Readable
from .left_out import counted, left_out_notice, no_scan
from .limits import LIMITS
from .mask_order import laid_by_content
from .picture_stacks import masks_beside, read_stack, truth_pictures
from .stored import FORMATS
from .structure_names import Said, said_by_path
from .tiff import pages as tiff_pages
from .truth import nifti_truth, picture_truth
from .volume_file import announced_voxels, data_of, holds_labels, on_scan, read_volume

MOST_NIFTIS = 2  # of the largest size: a scan and its label map
MOST_LOOKED_AT = 4  # NIfTI files beside a DICOM scan
MOST_OF_BORDER = 0.5
OFFERED = (LeftOut.MASK, LeftOut.SEGMENTATION, LeftOut.CONTOURS)  # maybe a scan's ground truth
LEAST_TOUCHING = 0.1  # of a tumor's border, which may bulge out of the liver
TELLS_NOTHING = {LeftOut.ARCHIVE, LeftOut.EMPTY_FILE, LeftOut.OTHER_FILE}  # of what was meant
Classify = Callable[[Dataset, bool, Member], list[CtSlice]]


@dataclass
class _Contents:
    """The files of an upload by what they can be read as."""

    slices: list[CtSlice] = field(default_factory=list)
    segs: list[Member] = field(default_factory=list)
    contours: list[Member] = field(default_factory=list)
    niftis: list[Member] = field(default_factory=list)
    pictures: list[Member] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    refusals: list[UploadError] = field(default_factory=list)  # of archives

    def raise_if_only_archives(self) -> None:
        """Why the archives cannot be opened, where nothing else says what was meant."""
        if self.refusals and set(self.left_out) <= TELLS_NOTHING:
            raise self.refusals[0]


def read_scan(
    paths: Paths,
    *,
    choose: Given = (),
    budget: Budget | None = None,
    follow_links: bool = False,
) -> Volume:
    """The one CT scan in an upload.

    Args:
        paths: files, folders or zip archives, one or several; names and order do not matter.
        choose: answers, such as "scan=1", where the upload can be read in several ways.
        budget: of the upload, where more is counted than by default.
        follow_links: whether links to files in folders are read, as the command line does.

    Raises:
        ChoiceNeeded: an answer is missing; its `choice` lists the answers.
        UploadError: with a sentence for the person.
    """
    budget, answers = budget or Budget(), Answers(choose)
    with open_upload(paths, budget, follow_links=follow_links) as members:
        contents = _survey(members, ct_slices)
        found = contents.left_out
        masks = {LeftOut.SEGMENTATION: len(contents.segs), LeftOut.CONTOURS: len(contents.contours)}
        found += Counter(masks)
        if contents.slices:
            budget.allow(sum(math.prod(one.shape) for one in contents.slices))
            chosen, left_out = choose_series(contents.slices, answers)
            volume = read_series(chosen, left_out)
            left_out += _beside(contents, volume)
        elif contents.niftis:
            volume, left_out = _read_niftis(contents.niftis, answers)
            left_out += _pictures_beside(contents)
        elif contents.pictures:
            volume, left_out = read_stack(contents.pictures, answers)
        else:
            contents.raise_if_only_archives()
            raise no_scan(found)
        found += left_out
    offer = (say(OFFER),) if _holds_masks(found, contents.slices) else ()
    return replace(volume, notices=(*left_out_notice(found), *offer, *volume.notices))


def _holds_masks(left_out: Counter[LeftOut], slices: list[CtSlice]) -> bool:
    """Whether what was left out may be the ground truth."""
    if left_out[LeftOut.EIGHT_BIT_PICTURE]:
        folders = {one.member.parts[:-1] for one in slices if one.eight_bit}
        if any(said_by_path(folder) in (Said.LIVER, Said.TUMOR) for folder in folders):
            return True
    return any(left_out[kind] for kind in OFFERED)


def _beside(contents: _Contents, volume: Volume) -> Counter[LeftOut]:
    """NIfTI files and pictures beside a DICOM scan, with masks among them."""
    most = LIMITS.truth_voxels_for(volume.hu.size)
    masks = sum(holds_labels(member, most) for member in contents.niftis[:MOST_LOOKED_AT])
    kind = _kind_of_all(contents.niftis)
    found = Counter({kind: len(contents.niftis) - masks, LeftOut.MASK: masks})
    return found + _pictures_beside(contents)


def _pictures_beside(contents: _Contents) -> Counter[LeftOut]:
    masks = masks_beside(contents.pictures)
    return Counter({LeftOut.MASK: masks, LeftOut.PICTURE: len(contents.pictures) - masks})


def read_truth(
    paths: Paths, volume: Volume, *, choose: Given = (), follow_links: bool = False
) -> Segmentation:
    """The ground truth in an upload, on the scan's grid.

    Args:
        paths: as for `read_scan`: a DICOM SEG or RTSTRUCT, masks as DICOM in folders that name the
            structure, a label map as NIfTI, NRRD, MetaImage or MGH, or masks as PNG or TIFF.
        volume: the scan it was drawn on.
        choose, follow_links: as for `read_scan`.

    Raises:
        ChoiceNeeded: as for `read_scan`.
        TruthMismatch: it belongs to another grid, or is no ground truth.
        UploadError: it cannot be read.
    """
    truth = place_truth(paths, volume, choose=choose, follow_links=follow_links)
    return laid_by_content(truth, volume)


def place_truth(
    paths: Paths,
    volume: Volume,
    *,
    choose: Given = (),
    budget: Budget | None = None,
    follow_links: bool = False,
) -> Segmentation:
    """The same as far as files tell; the values of the scan's voxels are not looked at.

    Masks without a place may be in reverse order, which `mask_order.laid_by_content` decides.
    """
    if volume.source is None:  # made in memory: it lies nowhere
        volume = replace(volume, source=Source("picture"))
    budget, answers = budget or Budget(), Answers(choose)
    budget.of_truth(volume.hu.size)
    with open_upload(paths, budget, follow_links=follow_links) as members:
        contents = _survey(members, mask_slices)
        found = contents.left_out
        slices = _masks_among(contents)
        found += Counter({LeftOut.SCAN_SLICE: len(contents.slices) - len(slices)})
        if contents.segs:
            truth = read_seg(contents.segs, volume)
        elif contents.contours:
            truth = read_contours(contents.contours, volume)
        elif slices:
            truth = read_masks(slices, volume)
        elif contents.niftis:
            placed = [on_scan(member, volume) for member in contents.niftis]
            kind = _kind_of_all(placed)
            truth, found[kind] = nifti_truth(placed, volume)
        elif contents.pictures:
            masks, left_out = truth_pictures(contents.pictures, len(volume.hu), answers)
            found += left_out
            truth = picture_truth(masks, volume, answers)
        else:
            contents.raise_if_only_archives()
            raise _no_truth(found)
    return replace(truth, notices=(*left_out_notice(found), *truth.notices, *_lacks(truth)))


def _masks_among(contents: _Contents) -> list[CtSlice]:
    """The DICOM images of an upload that may be masks: not the slices of the scan itself.

    Masks have 8 bits, or names that say so; a scan has more, and where nothing else may be the
    masks, its slices are taken for them and refused as what they are.
    """
    slices = contents.slices
    if contents.segs or contents.contours:
        return []
    said = {one: said_by_path(one) for one in {one.member.parts[:-1] for one in slices}}
    masks = [one for one in slices if one.eight_bit or said[one.member.parts[:-1]] != Said.NOTHING]
    return masks if masks or contents.niftis or contents.pictures else slices


def _no_truth(left_out: Counter[LeftOut]) -> TruthMismatch:
    """Why nothing in an upload is a ground truth."""
    if not left_out:
        return TruthMismatch(say("truth.none_found"))
    return TruthMismatch(say("truth.none_among", found=counted(left_out)))


def _lacks(truth: Segmentation) -> tuple[Sentence, ...]:
    """What a ground truth does not hold, and so cannot tell."""
    highest = truth.labels.max()
    if highest < LIVER:
        return (say("truth.empty"),)
    found = (say("truth.touches_border"),) if _touches_border(truth.labels) else ()
    if highest < TUMOR:
        return (*found, say("truth.no_tumors"))
    if not (truth.labels == LIVER).any():
        return (*found, say("truth.only_tumors"))
    return (*found, say("truth.tumors_apart")) if _lie_apart(truth.labels) else found


def _touches_border(labels: np.ndarray) -> bool:
    """Whether most of the border of the slices is set, which no liver does but its surroundings."""
    border = labels[:, [0, -1], :], labels[:, :, [0, -1]]
    set_there = sum(np.count_nonzero(one) for one in border)
    return bool(set_there > MOST_OF_BORDER * sum(one.size for one in border))


def _lie_apart(labels: np.ndarray) -> bool:
    """Whether what is called tumors hardly touches the liver, as another organ would."""
    inside = outside = 0
    for plane in labels:
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            for tumor, beside in ((one == TUMOR, other), (other == TUMOR, one)):
                inside += int(np.count_nonzero(tumor & (beside == LIVER)))
                outside += int(np.count_nonzero(tumor & (beside == BACKGROUND)))
    return inside < LEAST_TOUCHING * (inside + outside)


def _survey(members: list[Member], classify: Classify) -> _Contents:
    """Looks once into every file."""
    contents, readable = _Contents(), 0
    for member in members:
        if member.left_out:
            contents.left_out[member.left_out] += 1
            contents.refusals += [member.refusal] if member.refusal else []
            continue
        try:
            head = member.head(HEAD_BYTES)
            kind = kind_of(head)
            readable += isinstance(kind, Readable)
            if kind == Readable.DICOM:
                _add_dicom(contents, *read_header(member, head), member, classify)
            elif isinstance(kind, LeftOut):
                contents.left_out[kind] += 1
            elif kind in FORMATS:
                contents.niftis.append(replace(member, format=kind))
            elif kind == Readable.TIFF:
                contents.pictures += tiff_pages(member)
            else:
                contents.pictures.append(member)
        except BrokenFile:
            contents.left_out[LeftOut.DAMAGED_FILE] += 1
        if max(readable, len(contents.pictures)) > LIMITS.files:
            raise too_many()
    _find_data(contents, members)
    return contents


def _find_data(contents: _Contents, members: list[Member]) -> None:
    """Joins headers with the files of their voxels, which are no files of their own then."""
    for index, member in enumerate(contents.niftis):
        data = data_of(member, members)
        if data is None:
            continue
        contents.niftis[index] = replace(member, data=data)
        kind = kind_of(data.head(HEAD_BYTES))
        if isinstance(kind, LeftOut):
            contents.left_out[kind] -= 1
    contents.left_out = +contents.left_out


def _add_dicom(
    contents: _Contents, dataset: Dataset, has_pixels: bool, member: Member, classify: Classify
) -> None:
    try:
        for one in classify(dataset, has_pixels, member):
            if one.left_out:
                contents.left_out[one.left_out] += 1
            else:
                contents.slices.append(one)
    except NotASlice as reason:
        if reason.kind == LeftOut.SEGMENTATION:
            contents.segs.append(member)
        elif reason.kind == LeftOut.CONTOURS:
            contents.contours.append(member)
        else:
            contents.left_out[reason.kind] += 1


def _read_niftis(members: list[Member], answers: Answers) -> tuple[Volume, Counter[LeftOut]]:
    """The one scan among NIfTI files; masks beside it are left out."""
    if len(members) == 1:
        return read_volume(members[0]), Counter()
    if sum(map(announced_voxels, members)) > MOST_NIFTIS * LIMITS.voxels:
        raise TooLarge(say("upload.niftis_too_large", count=len(members)))
    volumes, refusals = [], []
    for member in members:
        try:
            volumes.append(read_volume(member))
        except (NotAScan, BrokenFile) as refusal:
            refusals.append(refusal)
    masks = sum(refusal.code == "volume_file.mask_not_scan" for refusal in refusals)
    if not volumes:
        raise refusals[0]
    options = numbered([_describe(volume) for volume in volumes])
    chosen = answers.to(Choice(Question.SCAN, options))
    left_out = Counter({LeftOut.MASK: masks, _kind_of_all(members): len(members) - masks - 1})
    return volumes[chosen], left_out


def _kind_of_all(members: list[Member]) -> LeftOut:
    """As what files of one volume are counted when they are left out."""
    is_nifti = all(member.format == Readable.NIFTI for member in members)
    return LeftOut.NIFTI if is_nifti else LeftOut.VOLUME_FILE


def _describe(volume: Volume) -> Sentence:
    z, y, x = volume.shape
    return describe_scan(z, volume.spacing.z if volume.spacing else None, y, x)
