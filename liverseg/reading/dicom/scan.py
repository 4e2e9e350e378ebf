"""The slices of one CT series as a Volume: in order, in Hounsfield units, in LPS."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ...errors import NotAScan, TooLarge
from ...sentences import Sentence, say
from ...volume import Source, Spacing, Volume
from ..file_names import slice_numbers
from ..geometry import AS_STORED, Gaps, gaps_of, orientation_of, tilt_notices
from ..hounsfield import Rescale, Tally, check_offset, check_range, looks_like_labels, to_hu
from ..kinds import LeftOut
from ..limits import LIMITS
from .pixels import broken_pixels, each_decoded
from .series import distances_mm, planes_of
from .slice import CtSlice

SIGNED_AS_UNSIGNED_HU = 28_000  # no metal reaches it: these are negative values without their sign
SURELY_AIR_HU = -500  # a scan whose rescale is unknown is in HU if its values go below this


def read_series(group: list[CtSlice], left_out: Counter[LeftOut]) -> Volume:
    """One series as a Volume; damaged slices are left out and counted in `left_out`."""
    group = _in_order(group)
    _check_headers(group)
    orientation = orientation_of(group[0].plane) if group[0].plane else AS_STORED
    shape = group[0].shape[::-1] if orientation.transpose else group[0].shape
    hu = np.empty((len(group), *shape), np.int16)
    kept = np.ones(len(group), bool)
    tally = Tally()
    for index, stored in each_decoded(group):
        if stored is None:
            kept[index] = False
            continue
        one = group[index]
        rescale = one.rescale or Rescale(1.0, 0.0)
        if one.unsigned_16 and _hu(stored.max(), rescale) > SIGNED_AS_UNSIGNED_HU:
            stored = stored.view(np.int16)
        hu[index] = orientation.apply(to_hu(stored, rescale, one.padding, tally))
    left_out[LeftOut.DAMAGED_SLICE] += len(group) - int(kept.sum())
    hu, group = _only(hu, kept), [one for one, good in zip(group, kept, strict=True) if good]
    _check_values(hu, group, tally)
    return _volume(hu, group)


def _only(hu: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The slices that are kept, moved together without a second array."""
    places = np.flatnonzero(kept)
    for target, place in enumerate(places):
        if target != place:
            hu[target] = hu[place]
    return hu[: len(places)]


def _in_order(group: list[CtSlice]) -> list[CtSlice]:
    """From feet to head; by InstanceNumber where there are no positions."""
    if group[0].plane is None:
        return sorted(group, key=lambda one: one.number or 0)
    return [group[index] for index in np.argsort(distances_mm(group), kind="stable")]


def _check_headers(group: list[CtSlice]) -> None:
    if len(group) * np.prod(group[0].shape) > LIMITS.voxels:
        raise TooLarge(say("dicom.scan_too_large", voxels_m=LIMITS.voxels // 10**6))
    if not all(one.rescale is None or one.rescale.plausible for one in group):
        raise NotAScan(say("dicom.absurd_rescale"))


def _hu(stored: np.ndarray, rescale: Rescale) -> float:
    return float(stored) * rescale.slope + rescale.intercept


def _check_values(hu: np.ndarray, kept: list[CtSlice], tally: Tally) -> None:
    """Refuses what was decoded but is not a CT in Hounsfield units."""
    if not kept:
        raise broken_pixels()
    tally.check()
    if any(one.rescale is None for one in kept) and hu.min() > SURELY_AIR_HU:
        raise NotAScan(say("dicom.no_rescale"))
    if looks_like_labels(hu):
        raise NotAScan(say("dicom.mask_not_scan"))
    offset = [one.rescale is not None and one.rescale.intercept < 0 for one in kept]
    if not any(offset):
        check_range(hu)
    check_offset(hu[k] for k, known in enumerate(offset) if not known)


def _volume(hu: np.ndarray, kept: list[CtSlice]) -> Volume:
    notices = list(_notices(kept))
    first = kept[0]
    grids = [grid for one in kept if (grid := one.grid) is not None]
    if len(grids) < len(kept):
        missing = "dicom.no_place" if first.plane is None else "dicom.no_pixel_size"
        notices.append(say(missing))
        if first.plane is None and len(kept) > 1:
            notices.append(say("dicom.order_of_numbers"))
        headers = tuple(one.header for one in kept)
        source = Source("dicom", numbers=numbers_of(kept), headers=headers)
        return Volume(hu, notices=tuple(notices), source=source)
    planes = planes_of(kept)
    distances = distances_mm(kept)
    gaps: Gaps = gaps_of(distances, np.array([plane.position_mm[2] for plane in planes]))
    slant, straight = tilt_notices(planes, first.tilt_degrees)
    corners = np.array([grid.corner_mm for grid in grids])
    affine = None
    if straight and (gaps.spacing_mm or len(kept) == 1):
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1], affine[:3, 3] = grids[0].step_x, grids[0].step_y, corners[0]
        last = len(kept) - 1
        affine[:3, 2] = (corners[-1] - corners[0]) / last if last else planes[0].normal
    y_mm, x_mm = (float(np.linalg.norm(step)) for step in (grids[0].step_y, grids[0].step_x))
    may_be_referred_to = first.frame is None and not _are_joined(kept)
    headers = tuple(one.header for one in kept) if may_be_referred_to else ()
    return Volume(
        hu,
        Spacing(gaps.spacing_mm, y_mm, x_mm),
        notices=(*notices, *gaps.notices, *slant),
        source=Source("dicom", affine, corners, numbers=numbers_of(kept), headers=headers),
    )


def numbers_of(slices: list[CtSlice]) -> tuple[np.ndarray, ...]:
    """What `volume.Source.numbers` is, of a scan's slices or its masks."""
    members = [one.member for one in slices]
    numbers = [one.number for one in slices if one.number is not None]
    by_name = slice_numbers(members) if len(set(members)) == len(members) else None
    of_instances = [np.array(numbers)] if len(set(numbers)) == len(slices) else []
    return (*([] if by_name is None else [by_name]), *of_instances)


def _are_joined(kept: list[CtSlice]) -> bool:
    """Whether the slices say that they belong to different series."""
    return len({one.series for one in kept}) > 1


def _notices(kept: list[CtSlice]) -> Iterator[Sentence]:
    if _are_joined(kept):
        yield say("dicom.joined_series")
    if any(one.rescale is None for one in kept):
        yield say("dicom.rescale_taken_as_hu")
    if any(one.lossy for one in kept):
        yield say("dicom.lossy")
    if any(one.burned_in for one in kept):
        yield say("dicom.burned_in")
    yield from dict.fromkeys(remark for one in kept for remark in one.remarks)
