"""From what a person uploads to a scan, and to a ground truth on its grid."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom.dataset import Dataset

from ..errors import (
    BrokenFile,
    NotAScan,
    TooLarge,
    TruthMismatch,
)
from ..volume import LIVER, TUMOR, Segmentation, Source, Volume
from .archive import Member, open_upload
from .dicom.file import HEAD_BYTES, read_header
from .dicom.kind import CONTOURS, NotASlice
from .dicom.masks import mask_slices, read_masks
from .dicom.scan import read_series
from .dicom.seg import read_seg
from .dicom.series import choose, choose_series
from .dicom.slice import CtSlice, ct_slices
from .filetype import kind_of
from .left_out import in_brackets, left_out_notice, no_scan
from .limits import LIMITS
from .nifti import announced_voxels, read_nifti
from .pictures import read_pictures
from .truth import nifti_truth, picture_truth

NO_TUMORS = (
    "The ground truth has no tumors, so every tumor found counts as false. If its tumors were not "
    "drawn, pay no attention to the tumor scores."
)
MOST_NIFTIS = 2  # of the largest size: a scan and its label map
ONLY_TUMORS = (
    "The ground truth has tumors and no liver around them, so the scores of the liver say nothing."
)
EMPTY = "The ground truth is empty: there is neither liver nor tumor in it to compare with."
Paths = str | Path | Iterable[str | Path]
Classify = Callable[[Dataset, bool, Member], list[CtSlice]]


@dataclass
class _Contents:
    """The files of an upload by what they can be read as."""

    slices: list[CtSlice] = field(default_factory=list)
    segs: list[Member] = field(default_factory=list)
    niftis: list[Member] = field(default_factory=list)
    pictures: list[Member] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)


def read_scan(paths: Paths, *, series: int | None = None) -> Volume:
    """The one CT scan in an upload.

    Args:
        paths: files, folders or zip archives, one or several; names and order do not matter.
        series: which scan, where there are several, as `SeveralSeries.choices` counts them.

    Raises:
        UploadError: with a sentence for the person.
    """
    with open_upload(paths) as members:
        contents = _survey(members, ct_slices)
        contents.left_out += Counter({"segmentation": len(contents.segs)})
        if contents.slices:
            chosen, left_out = choose_series(contents.slices, series)
            volume = read_series(chosen, left_out)
            others = Counter({"NIfTI file": len(contents.niftis)})
            others["picture"] = len(contents.pictures)
        elif contents.niftis:
            volume, left_out = _read_niftis(contents.niftis, series)
            others = Counter({"picture": len(contents.pictures)})
        elif contents.pictures:
            volume, left_out, others = read_pictures(contents.pictures), Counter(), Counter()
        else:
            raise no_scan(contents.left_out)
    notice = left_out_notice(contents.left_out + left_out + others)
    return replace(volume, notices=(*notice, *volume.notices))


def read_truth(paths: Paths, volume: Volume) -> Segmentation:
    """The ground truth in an upload, on the scan's grid.

    Args:
        paths: as for `read_scan`: a DICOM SEG, masks as DICOM in folders that name the structure,
            a NIfTI label map, or PNG masks.
        volume: the scan it was drawn on.

    Raises:
        TruthMismatch: it belongs to another grid, or is no ground truth.
        UploadError: it cannot be read.
    """
    if volume.source is None:  # made in memory: it lies nowhere
        volume = replace(volume, source=Source("picture"))
    with open_upload(paths) as members:
        contents = _survey(members, mask_slices)
        if contents.segs:
            truth = read_seg(contents.segs, volume)
        elif contents.slices:
            truth = read_masks(contents.slices, volume)
        elif contents.niftis:
            truth, contents.left_out["NIfTI file"] = nifti_truth(contents.niftis, volume)
        elif contents.pictures:
            truth = picture_truth(contents.pictures, volume)
        else:
            contours = CONTOURS in contents.left_out
            raise TruthMismatch(
                f"No masks were found{in_brackets(contents.left_out)}. A ground truth is a DICOM "
                "SEG, DICOM masks, a NIfTI label map or PNG masks."
                + (" Convert the contours to one of these, with 3D Slicer say." if contours else "")
            )
    left_out = left_out_notice(contents.left_out)
    return replace(truth, notices=(*left_out, *truth.notices, *_lacks(truth)))


def _lacks(truth: Segmentation) -> tuple[str, ...]:
    """What a ground truth does not hold, and so cannot tell."""
    highest = truth.labels.max()
    if highest < LIVER:
        return (EMPTY,)
    if highest < TUMOR:
        return (NO_TUMORS,)
    return () if (truth.labels == LIVER).any() else (ONLY_TUMORS,)


def _survey(members: list[Member], classify: Classify) -> _Contents:
    """Looks once into every file."""
    contents = _Contents()
    for member in members:
        try:
            head = member.head(HEAD_BYTES)
            kind = kind_of(head)
            if kind == "dicom":
                _add_dicom(contents, *read_header(member, head), member, classify)
            elif kind == "nifti":
                contents.niftis.append(member)
            elif kind in ("png", "jpeg"):
                contents.pictures.append(member)
            else:
                contents.left_out[kind] += 1
        except BrokenFile:
            contents.left_out["damaged file"] += 1
    return contents


def _add_dicom(
    contents: _Contents, dataset: Dataset, has_pixels: bool, member: Member, classify: Classify
) -> None:
    try:
        contents.slices += classify(dataset, has_pixels, member)
    except NotASlice as reason:
        if str(reason) == "segmentation":
            contents.segs.append(member)
        else:
            contents.left_out[str(reason)] += 1


def _read_niftis(members: list[Member], series: int | None) -> tuple[Volume, Counter]:
    """The one scan among NIfTI files; masks beside it are left out."""
    if len(members) == 1:
        return read_nifti(members[0]), Counter()
    if sum(map(announced_voxels, members)) > MOST_NIFTIS * LIMITS.voxels:
        raise TooLarge(
            f"{len(members)} NIfTI files hold too many voxels together. Upload one scan at a time."
        )
    volumes, refusals = [], []
    for member in members:
        try:
            volumes.append(read_nifti(member))
        except (NotAScan, BrokenFile) as refusal:
            refusals.append(refusal)
    if not volumes:
        raise refusals[0]
    chosen = choose([_describe(volume) for volume in volumes], series)
    return volumes[chosen], Counter({"NIfTI file": len(members) - 1})


def _describe(volume: Volume) -> str:
    z, y, x = volume.shape
    known = volume.spacing is not None and volume.spacing.z is not None
    return ", ".join(
        [f"{z} slices", *([f"{volume.spacing.z:.3g} mm"] if known else []), f"{x}×{y}"]
    )
