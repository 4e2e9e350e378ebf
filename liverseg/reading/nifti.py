"""NIfTI to arrays in LPS, slab by slab: scans in Hounsfield units, label maps.

The header is checked before anything is inflated, and only what it announces is inflated.
"""

import gzip
import logging
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError

from ..errors import BrokenFile, NotAScan, TooLarge, TruthMismatch, UploadError
from ..sentences import Sentence, say
from ..volume import LPS_TO_RAS, Form, Source, Spacing, Volume
from .alignment import SAME_PLACE, same_grid
from .archive import BIG, Member
from .geometry import FARTHEST_MM, MAX_OBLIQUE_DEGREES, Plane, tilt_notices
from .hounsfield import Tally, check_offset, check_range, clipped, looks_like_labels
from .limits import LIMITS

MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # of the header's unit codes metre and micron
STEP_MM = (0.05, 50.0)  # what a CT's voxel can measure
DAMAGE = (
    ArithmeticError,
    EOFError,
    HeaderDataError,
    ImageFileError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
LPS = axcodes2ornt("LPS")
AS_WHOLE = 0.02  # from a whole number: labels that a scaled header or a viewer rounded
MAX_DATA_OFFSET = 1_000_000  # bytes; extensions before the voxels are read whole

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)


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


def read_nifti(member: Member) -> Volume:
    """A CT scan; NotAScan where the values cannot be Hounsfield units."""
    tally = Tally()
    with _opened(member, LIMITS.voxels) as (image, layout):
        expected = image.header.get_data_dtype().itemsize * math.prod(layout.shape)
        if expected > max(BIG, LIMITS.ratio * member.size):
            raise BrokenFile(say("nifti.less_than_announced"))
        member.budget.spend("decoded_bytes", expected)
        member.budget.allow(math.prod(layout.shape))
        hu = np.empty(layout.shape, np.int16)
        highest, between = -math.inf, False
        for target, values in _slabs(image, hu, layout):
            highest = max(highest, float(values.max(initial=-math.inf)))
            if highest <= 1 and not between:
                between = bool(np.any((values > 0) & (values < 1)))
            tally.add(values)
            target[...] = clipped(values)
        forms = _forms(image.header)
    if between and highest <= 1 and hu.min() == 0:
        raise NotAScan(say("nifti.scaled"))
    _check_values(hu, tally)
    positions = np.array([(layout.affine @ (0, 0, z, 1))[:3] for z in range(layout.shape[0])])
    known = layout.is_oriented and layout.is_sized
    source = Source(
        "nifti",
        layout.affine if known else None,
        positions if known else None,
        layout.axcodes,
        forms,
    )
    return Volume(hu, layout.spacing, notices=_notices(layout), source=source)


def announced_voxels(member: Member) -> int:
    """How many voxels a scan's header announces; 0 where it cannot be read as one."""
    try:
        with _opened(member, LIMITS.voxels) as (_, layout):
            return math.prod(layout.shape)
    except (NotAScan, BrokenFile):
        return 0


def on_scan(member: Member, volume: Volume) -> Member:
    """A ground truth at the scan's place, where it has its matrix and one of its forms.

    Programs differ in which of two forms they go by, and in what they write: one of them twice, or
    another beside it. The voxels are the scan's all the same.
    """
    try:
        with _opened(member, LIMITS.truth_voxels_for(volume.hu.size)) as (image, _):
            shape = (*image.header.get_data_shape(), 1)[:3]
            own = [form.affine for form in _forms(image.header) if form]
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


def read_labels(member: Member, max_voxels: int) -> tuple[np.ndarray, Layout]:
    """A label map as (z, y, x) uint8 of its own values, and how it lies.

    Raises:
        TooLarge: more than `max_voxels`.
        TruthMismatch: the values are not labels, so it is a scan or a probability map.
    """
    with _opened(member, max_voxels) as (image, layout):
        member.budget.spend("truth_voxels", math.prod(layout.shape))
        member.budget.allow(math.prod(layout.shape))
        labels = np.empty(layout.shape, np.uint8)
        for target, values in _slabs(image, labels, layout):
            target[...] = np.rint(np.clip(np.nan_to_num(values), 0, 255))
            if not (np.abs(target - values) <= AS_WHOLE).all():
                raise TruthMismatch(say("truth.not_labels"))
    return labels, layout


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
def _opened(member: Member, max_voxels: int) -> Iterator[tuple[nibabel.Nifti1Image, Layout]]:
    """The image, its header checked and no voxel read yet, and how it lies."""
    with member.open() as file:
        stream: Any = file  # nibabel wants an IOBase, which every one of them is
        if file.read(2) == b"\x1f\x8b":
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file)
        try:
            stream.seek(0)
            head = stream.read(540)
            kind = _checked_kind(head, max_voxels)
            stream.seek(0)
            image = kind.from_stream(stream)
            # nibabel puts 1 for missing sizes, so these are taken from the header as it is stored
            stored = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
            yield image, _layout(image.header, stored["pixdim"][1:4], member.place)
        except DAMAGE:
            raise BrokenFile(say("nifti.damaged")) from None


def _checked_kind(head: bytes, max_voxels: int) -> type[nibabel.Nifti1Image]:
    """NIfTI-1 or NIfTI-2, after a look at what the header announces."""
    kind = nibabel.Nifti2Image if b"n+2" in head[4:8] else nibabel.Nifti1Image
    if kind is nibabel.Nifti1Image and head[344:347] != b"n+1":
        raise NotAScan(say("nifti.half_a_pair"))
    header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if not shape or min(shape) < 1 or len(shape) < 2:
        raise ValueError
    if len(shape) > 3 and max(shape[3:]) > 1:
        raise NotAScan(say("nifti.several_volumes", count=max(shape[3:])))
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise NotAScan(say("nifti.no_numbers"))
    if math.prod(map(int, shape)) > max_voxels or max(shape) > LIMITS.side:
        raise TooLarge(
            say("nifti.too_large", shape=" × ".join(map(str, shape)), limits=LIMITS.sentence)
        )
    if not 0 <= header.get_data_offset() <= MAX_DATA_OFFSET:
        raise ValueError
    return kind


def _slabs(
    image: nibabel.Nifti1Image, target: np.ndarray, layout: Layout
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where to write and the scaled float32 values, in the order in which they are stored.

    Args:
        image: as `_opened` gives it.
        target: (z, y, x) in LPS; the views yielded write into it.
        layout: the image's.
    """
    to_stored = ornt_transform(LPS, axcodes2ornt(layout.axcodes))
    stored_view = apply_orientation(target.transpose(2, 1, 0), to_stored)
    dataobj: Any = image.dataobj  # for nibabel an array, but here it is what can be reshaped
    proxy = dataobj.reshape(stored_view.shape)
    for last in range(stored_view.shape[2]):
        yield stored_view[:, :, last], np.asarray(proxy[:, :, last], np.float32)


def _layout(
    header: nibabel.Nifti1Header, stored_sizes: np.ndarray, place: np.ndarray | None
) -> Layout:
    """How a stored array lies: as another file does, or as its header says, or is guessed."""
    shape = (*header.get_data_shape(), 1)[:3]
    affines = [form.affine for form in _forms(header) if form]
    if place is not None:
        return _placed(place, shape)
    if affines:
        return _placed(affines[0], shape)
    affine = _in_mm(header.get_base_affine(), header)  # nibabel's guess: L, A, S
    is_sized = bool(np.all(stored_sizes[np.array(shape) > 1])) and _is_usable(affine)
    affine = affine if is_sized else np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(_placed(affine, shape), is_oriented=False, is_sized=is_sized)


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


def _forms(header: nibabel.Nifti1Header) -> tuple[Form | None, Form | None]:
    """The sform, which counts first, and the qform, where they are usable."""
    return _form(header.get_sform, header), _form(header.get_qform, header)


def _form(read: Callable[..., tuple], header: nibabel.Nifti1Header) -> Form | None:
    try:
        affine, code = read(coded=True)
    except DAMAGE:
        return None
    if affine is None or not _is_usable(_in_mm(affine, header)):
        return None
    return Form(int(code), _in_mm(affine, header))


def _in_mm(affine: np.ndarray, header: nibabel.Nifti1Header) -> np.ndarray:
    code = int(header["xyzt_units"]) & 0x07
    return np.diag([*[MM_PER_UNIT.get(code, 1.0)] * 3, 1.0]) @ affine.astype(float)


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


def _check_values(hu: np.ndarray, tally: Tally) -> None:
    tally.check()
    if looks_like_labels(hu):
        raise NotAScan(say("nifti.mask_not_scan"))
    check_range(hu)
    check_offset(hu)


def _notices(layout: Layout) -> tuple[Sentence, ...]:
    planes = layout.planes
    if planes[0].degrees_off_axial > MAX_OBLIQUE_DEGREES:
        raise NotAScan(say("nifti.not_axial", degrees=planes[0].degrees_off_axial))
    notices, _ = tilt_notices(planes)
    if not layout.is_oriented:
        notices += (say("nifti.orientation_guessed"),)
    if not layout.is_sized:
        notices += (say("nifti.no_voxel_size"),)
    elif layout.is_identity:
        notices += (say("nifti.identity"),)
    return notices
