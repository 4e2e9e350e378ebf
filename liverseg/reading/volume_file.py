"""Files that hold one volume, whatever their format, as arrays in LPS, slab by slab.

Scans in Hounsfield units, and label maps. The header is checked by its format's own module before
anything is unpacked, and only what it announces is unpacked.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)

from ..errors import BrokenFile, NotAScan, TooLarge, TruthMismatch, UploadError
from ..sentences import Sentence, say
from ..volume import LPS_TO_RAS, Form, Source, SourceKind, Spacing, Volume
from . import metaimage, nrrd
from .alignment import SAME_PLACE, same_grid
from .archive import BIG, Member
from .detached import find_data
from .geometry import FARTHEST_MM, MAX_OBLIQUE_DEGREES, Plane, tilt_notices
from .hounsfield import Tally, check_offset, check_range, clipped, looks_like_labels
from .kinds import Readable
from .limits import LIMITS
from .mgh import open_mgh
from .nifti import DAMAGE, open_nifti
from .stored import FORMATS, Open, Stored, gunzipped_stream

STEP_MM = (0.05, 50.0)  # what a CT's voxel can measure
LPS = axcodes2ornt("LPS")
AS_WHOLE = 0.02  # from a whole number: labels that a scaled header or a viewer rounded
HEADERS: dict[Readable, Open] = {
    Readable.NIFTI: open_nifti,
    Readable.NRRD: nrrd.open_nrrd,
    Readable.METAIMAGE: metaimage.open_metaimage,
    Readable.MGH: open_mgh,
}
DATA_NAMES: dict[Readable, Callable[[IO[bytes]], str | None]] = {
    Readable.NRRD: nrrd.data_name,
    Readable.METAIMAGE: metaimage.data_name,
}
SOURCES: dict[Readable, SourceKind] = {
    Readable.NIFTI: "nifti",
    Readable.NRRD: "nrrd",
    Readable.METAIMAGE: "metaimage",
    Readable.MGH: "mgh",
}


@dataclass(frozen=True, eq=False)
class Layout:
    """How a stored array lies in space.

    Attributes:
        shape: (z, y, x) of the LPS array.
        axcodes: axis codes of the stored array.
        affine: (4, 4) voxel (x, y, z, 1) of the LPS array to LPS mm.
        is_oriented: whether the header gives the axes; else they are guessed.
        is_sized: whether the header gives the voxel's size; else it is 1.
        is_identity: whether the header's affine is the one of programs that do not know.
    """

    shape: tuple[int, int, int]
    axcodes: tuple[str, str, str]
    affine: np.ndarray
    is_oriented: bool
    is_sized: bool
    is_identity: bool

    @property
    def planes(self) -> list[Plane]:
        """The first and the last slice."""
        x, y = (self.affine[:3, axis] / np.linalg.norm(self.affine[:3, axis]) for axis in (0, 1))
        ends = sorted({0, self.shape[0] - 1})
        return [Plane((self.affine @ (0, 0, z, 1))[:3], x, y) for z in ends]

    @property
    def spacing(self) -> Spacing | None:
        """mm; z along the slices' normal."""
        if not self.is_sized:
            return None
        steps = self.affine[:3, :3]
        x_mm, y_mm = np.linalg.norm(steps[:, 0]), np.linalg.norm(steps[:, 1])
        z_mm = abs(steps[:, 2] @ self.planes[0].normal)
        return Spacing(float(z_mm) if self.shape[0] > 1 else None, float(y_mm), float(x_mm))


def read_volume(member: Member) -> Volume:
    """A CT scan; NotAScan where the values cannot be Hounsfield units."""
    tally = Tally()
    format = FORMATS[member.format]
    with _opened(member, LIMITS.voxels) as (stored, layout):
        if stored.labels:
            raise NotAScan(say("volume_file.mask_not_scan", format=format))
        expected = stored.itemsize * stored.voxels
        if expected > max(BIG, LIMITS.ratio * (member.data or member).size):
            raise BrokenFile(say("volume_file.less_than_announced", format=format))
        member.budget.spend("decoded_bytes", expected)
        member.budget.allow(stored.voxels)
        hu = np.empty(layout.shape, np.int16)
        highest, between = -math.inf, False
        for target, values in _placed_slabs(stored.slabs(), hu, layout):
            highest = max(highest, float(values.max(initial=-math.inf)))
            if highest <= 1 and not between:
                between = bool(np.any((values > 0) & (values < 1)))
            tally.add(values)
            target[...] = clipped(values)
    if between and highest <= 1 and hu.min() == 0:
        raise NotAScan(say("volume_file.scaled"))
    _check_values(hu, tally, format)
    positions = np.array([(layout.affine @ (0, 0, z, 1))[:3] for z in range(layout.shape[0])])
    known = layout.is_oriented and layout.is_sized
    is_nifti = member.format == Readable.NIFTI
    source = Source(
        SOURCES[member.format],
        layout.affine if known else None,
        positions if known else None,
        layout.axcodes,
        _usable_forms(stored) if is_nifti else (None, None),
    )
    return Volume(hu, layout.spacing, notices=_notices(layout, format), source=source)


def announced_voxels(member: Member) -> int:
    """How many voxels a scan's header announces; 0 where it cannot be read as one."""
    try:
        with _opened(member, LIMITS.voxels) as (_, layout):
            return math.prod(layout.shape)
    except (NotAScan, BrokenFile):
        return 0


def data_of(member: Member, members: list[Member]) -> Member | None:
    """The file of an upload that holds a header's voxels; None where they are its own, or missing.

    Args:
        member: with its format.
        members: of the upload.
    """
    if member.format not in DATA_NAMES:
        return None
    with suppress(NotAScan, BrokenFile), member.open() as file, suppress(*DAMAGE):
        name = DATA_NAMES[member.format](gunzipped_stream(file))
        return find_data(name, member, members) if name else None
    return None


def on_scan(member: Member, volume: Volume) -> Member:
    """A ground truth at the scan's place, where it has its matrix and one of its forms.

    Programs differ in which of two forms they go by, and in what they write: one of them twice, or
    another beside it. The voxels are the scan's all the same.
    """
    try:
        with _opened(member, LIMITS.truth_voxels_for(volume.hu.size)) as (stored, _):
            shape = stored.shape
            own = [form.affine for form in _usable_forms(stored) if form]
    except (NotAScan, BrokenFile, TooLarge):
        return member
    source = volume.source
    scans = [form.affine for form in source.forms if form] if source else []
    if not scans or shape != _stored_shape(volume):
        scans = []
    if any(_coincide(affine, scan, shape) for affine in own for scan in scans):
        return replace(member, place=scans[0])
    for affine in own:
        layout = _placed(affine, shape)
        if same_grid(layout.affine, layout.shape, volume):
            return replace(member, place=affine)
    return member


def _stored_shape(volume: Volume) -> tuple[int, ...]:
    """Of the file that a NIfTI scan came from."""
    assert volume.source is not None and volume.source.axcodes is not None
    nothing = np.broadcast_to(np.uint8(0), volume.shape[::-1])
    axes = ornt_transform(LPS, axcodes2ornt(volume.source.axcodes))
    return apply_orientation(nothing, axes).shape


def _coincide(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether two affines put all corners within half a voxel of one another."""
    i, j, k = (count - 1 for count in shape)
    corners = np.array(np.meshgrid([0, i], [0, j], [0, k], [1])).reshape(4, -1)
    apart = np.linalg.inv(first) @ second @ corners - corners
    return bool((np.abs(apart[:3]) < SAME_PLACE).all())


@dataclass(frozen=True, eq=False)
class Labels:
    """A label map.

    Attributes:
        values: (z, y, x) uint8: its own values, or labels where `are_named`.
        layout: how it lies.
        are_named: whether its header says which structure each value is.
        said: sentences about these names.
    """

    values: np.ndarray
    layout: Layout
    are_named: bool
    said: tuple[Sentence, ...]


def read_labels(member: Member, max_voxels: int) -> Labels:
    """A label map.

    Raises:
        TooLarge: more than `max_voxels`.
        TruthMismatch: the values are not labels, so it is a scan or a probability map.
    """
    with _opened(member, max_voxels) as (stored, layout):
        member.budget.spend("truth_voxels", stored.voxels)
        member.budget.allow(stored.voxels)
        labels = np.empty(layout.shape, np.uint8)
        slabs = (stored.labels or stored.slabs)()
        for target, values in _placed_slabs(slabs, labels, layout):
            target[...] = np.rint(np.clip(np.nan_to_num(values), 0, 255))
            if not (np.abs(target - values) <= AS_WHOLE).all():
                raise TruthMismatch(say("truth.not_labels"))
    return Labels(labels, layout, stored.labels is not None, stored.said)


def holds_labels(member: Member, max_voxels: int) -> bool:
    """Whether a file is a label map and no scan."""
    try:
        read_labels(member, max_voxels)
    except UploadError:
        return False
    return True


def as_stored(
    labels: np.ndarray, layout: Layout, axcodes: tuple[str, str, str] | None
) -> np.ndarray:
    """Labels whose header does not know how they lie as if they were stored like another file.

    Args:
        labels: (z, y, x) as `read_labels` gives them.
        layout: theirs.
        axcodes: in which the other file is stored; LPS, as DICOM is, where there is none.
    """
    to_stored = ornt_transform(LPS, axcodes2ornt(layout.axcodes))
    stored = apply_orientation(labels.transpose(2, 1, 0), to_stored)
    to_lps = ornt_transform(axcodes2ornt(axcodes or "LPS"), LPS)
    return apply_orientation(stored, to_lps).transpose(2, 1, 0)


@contextmanager
def _opened(member: Member, max_voxels: int) -> Iterator[tuple[Stored, Layout]]:
    """What the header says, checked and no voxel read yet, and how the array lies."""
    with member.open() as file, ExitStack() as opened:
        try:
            stored = HEADERS[member.format](gunzipped_stream(file), member, max_voxels, opened)
            yield stored, _layout(stored, member.place)
        except DAMAGE:
            format = FORMATS[member.format]
            raise BrokenFile(say("volume_file.damaged", format=format)) from None


def _placed_slabs(
    slabs: Iterator[np.ndarray], target: np.ndarray, layout: Layout
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where to write and the values, in the order in which they are stored.

    Args:
        slabs: (i, j) for each k, as `Stored` reads them.
        target: (z, y, x) in LPS; the views yielded write into it.
        layout: the image's.
    """
    to_stored = ornt_transform(LPS, axcodes2ornt(layout.axcodes))
    stored_view = apply_orientation(target.transpose(2, 1, 0), to_stored)
    for last, values in enumerate(slabs):
        yield stored_view[:, :, last], values


def _layout(stored: Stored, place: np.ndarray | None) -> Layout:
    """How a stored array lies: as another file does, or as its header says, or is guessed."""
    if place is not None:
        return _placed(place, stored.shape)
    for form in _usable_forms(stored):
        if form:
            return _placed(form.affine, stored.shape)
    directions = np.zeros((3, 3))
    for axis, (direction, sign) in enumerate(axcodes2ornt(stored.guess)):
        directions[int(direction), axis] = sign
    affine = np.eye(4)
    sizes_mm = np.nan_to_num(stored.sizes_mm, posinf=0.0)
    affine[:3, :3] = directions * sizes_mm
    is_sized = bool(np.all(sizes_mm[np.array(stored.shape) > 1])) and _is_usable(affine)
    if not is_sized:
        affine[:3, :3] = directions
    return replace(_placed(affine, stored.shape), is_oriented=False, is_sized=is_sized)


def _placed(affine: np.ndarray, shape: tuple[int, ...]) -> Layout:
    """How a stored array lies that a header places."""
    is_identity = np.array_equal(np.abs(affine), np.eye(4))
    ornt = io_orientation(affine)
    to_lps = ornt_transform(ornt, LPS)
    lps_shape = np.empty(3, int)
    lps_shape[to_lps[:, 0].astype(int)] = shape
    affine = LPS_TO_RAS @ affine @ inv_ornt_aff(to_lps, shape)
    x, y, z = map(int, lps_shape)
    return Layout((z, y, x), ornt2axcodes(ornt), affine, True, True, is_identity)


def _usable_forms(stored: Stored) -> tuple[Form | None, Form | None]:
    """The forms, None for those that no CT can have."""
    first, second = (form if form and _is_usable(form.affine) else None for form in stored.forms)
    return first, second


def _is_usable(affine: np.ndarray) -> bool:
    """Whether voxels have a size and a place that a CT can have, and axes that span a space."""
    if not np.isfinite(affine).all():
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < STEP_MM[0] or sizes.max() > STEP_MM[1]:
        return False
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        return False
    return abs(np.linalg.det(affine[:3, :3] / sizes)) > 0.1


def _check_values(hu: np.ndarray, tally: Tally, format: str) -> None:
    tally.check()
    if looks_like_labels(hu):
        raise NotAScan(say("volume_file.mask_not_scan", format=format))
    check_range(hu)
    check_offset(hu)


def _notices(layout: Layout, format: str) -> tuple[Sentence, ...]:
    planes = layout.planes
    if planes[0].degrees_off_axial > MAX_OBLIQUE_DEGREES:
        raise NotAScan(say("volume_file.not_axial", degrees=planes[0].degrees_off_axial))
    notices, _ = tilt_notices(planes)
    if not layout.is_oriented:
        notices += (say("volume_file.orientation_guessed", format=format),)
    if not layout.is_sized:
        notices += (say("volume_file.no_voxel_size", format=format),)
    elif layout.is_identity:
        notices += (say("volume_file.identity"),)
    return notices
