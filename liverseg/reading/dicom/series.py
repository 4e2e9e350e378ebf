"""Which CT slices of an upload make a scan, and which scan is meant."""

from collections import Counter, defaultdict

import numpy as np

from ...errors import NotAScan, UploadError
from ...sentences import Sentence, say
from ..choice import choose, describe_scan
from ..geometry import MAX_OBLIQUE_DEGREES, Plane, gaps_of, has_repeats, repeated
from ..kinds import LeftOut
from .pixels import broken_pixels, each_decoded
from .slice import CtSlice

SAME_DIRECTION = 0.01  # in each coordinate of the unit vectors along rows and columns
SAME_PIXEL = 0.001  # of a pixel's size: half a pixel across a slice; writers round differently


def choose_series(
    slices: list[CtSlice], series: int | None
) -> tuple[list[CtSlice], Counter[LeftOut]]:
    """The slices of the one scan to read, and what was left out for it, by kind.

    Raises:
        SeveralSeries: where there are more and `series` does not say which.
        NotAScan: where there is none.
    """
    candidates, left_out = _candidates(slices)
    chosen = candidates[choose(_descriptions(candidates), series)]
    for other in candidates:
        if other is not chosen:
            left_out[LeftOut.OTHER_SERIES] += len(other)
    return chosen, left_out


def _candidates(slices: list[CtSlice]) -> tuple[list[list[CtSlice]], Counter[LeftOut]]:
    """Groups of slices that make a scan, the largest first, and what makes none, by kind."""
    left_out: Counter[LeftOut] = Counter()
    candidates = []
    groups = _joined(_groups(slices))
    some_have_planes = any(group[0].plane for group in groups)
    for group in groups:
        reason = _reason_against(group, some_have_planes)
        if reason:
            left_out[reason] += len(group)
            continue
        parts, dropped = _separated(group)
        left_out += dropped
        if not parts:
            left_out[LeftOut.SAME_PLACE] += len(group) - dropped.total()
        candidates += parts
    if not candidates:
        raise _nothing_usable(groups, left_out)
    candidates.sort(key=lambda group: (-len(group), _describe(group), group[0].series))
    if len(candidates[0]) > 3:  # a lone slice beside a scan is no choice
        left_out[LeftOut.SINGLE_SLICE] += sum(len(group) == 1 for group in candidates)
        candidates = [group for group in candidates if len(group) > 1]
    return candidates, +left_out


def _groups(slices: list[CtSlice]) -> list[list[CtSlice]]:
    """Slices of one series, one size, one pixel spacing and one orientation."""
    alike = defaultdict(list)
    for one in slices:
        alike[one.series, one.shape, one.pixel_mm is None, one.plane is None].append(one)
    groups: list[list[CtSlice]] = []
    for similar in alike.values():
        for same in _of_one_pixel_size(similar):
            groups += [same] if same[0].plane is None else _parallel(same)
    return groups


def _of_one_pixel_size(slices: list[CtSlice]) -> list[list[CtSlice]]:
    """Slices by the size of their pixels, whose ends may differ by more than neighbors."""
    sizes = np.array([one.pixel_mm or (1.0, 1.0) for one in slices])
    numbers = np.zeros(len(slices), int)
    for axis in (0, 1):
        order = np.argsort(sizes[:, axis], kind="stable")
        ordered = sizes[order, axis]
        is_new = np.diff(ordered, prepend=ordered[:1]) > SAME_PIXEL * ordered
        numbers[order] += np.cumsum(is_new) * (1 if axis else len(slices))
    groups: dict[int, list[CtSlice]] = defaultdict(list)
    for one, number in zip(slices, numbers.tolist(), strict=True):
        groups[number].append(one)
    return list(groups.values())


def _parallel(slices: list[CtSlice]) -> list[list[CtSlice]]:
    """Slices with positions by their orientation, which may be another for each of thousands."""
    axes = np.array([np.concatenate([p.along_row, p.along_column]) for p in planes_of(slices)])
    groups: list[list[CtSlice]] = []
    firsts = np.empty_like(axes)  # of each group
    for one, own in zip(slices, axes, strict=True):
        differences = np.abs(firsts[: len(groups)] - own)
        fitting = np.flatnonzero((differences <= SAME_DIRECTION).all(axis=1))
        if fitting.size:
            groups[fitting[0]].append(one)
        else:
            firsts[len(groups)] = own
            groups.append([one])
    return groups


def _joined(groups: list[list[CtSlice]]) -> list[list[CtSlice]]:
    """Lone slices as one group where they make an evenly spaced stack.

    Some programs, and ITK unless told otherwise, give each file a study or a series of its own.
    """
    ones = [one for group in groups for one in group]
    first = ones[0]
    if not len(ones) == len(groups) > 2 or not all(_are_alike(first, one) for one in ones):
        return groups
    distances = np.sort(distances_mm(ones))
    is_stack = not has_repeats(distances) and gaps_of(distances, distances).spacing_mm
    return [ones] if is_stack else groups


def _are_alike(first: CtSlice, second: CtSlice) -> bool:
    """Whether two slices with positions could be neighbors in a stack."""
    kinds = ((one.shape, one.pixel_mm is None, one.eight_bit) for one in (first, second))
    known = first.plane is not None and second.plane is not None
    both = [first, second]
    one_size = len(set(kinds)) == 1 and len(_of_one_pixel_size(both)) == 1
    return known and one_size and len(_parallel(both)) == 1


def _reason_against(group: list[CtSlice], some_have_planes: bool) -> LeftOut | None:
    """Why a group cannot be the scan, or None."""
    first = group[0]
    if first.eight_bit:
        return LeftOut.EIGHT_BIT_PICTURE
    if first.plane is None:
        numbers = {one.number for one in group}
        if some_have_planes or (len(group) > 1 and (None in numbers or len(numbers) < len(group))):
            return LeftOut.UNPLACED_SLICE
    elif first.plane.degrees_off_axial > MAX_OBLIQUE_DEGREES:
        return LeftOut.NON_AXIAL_SLICE
    return None


def _separated(group: list[CtSlice]) -> tuple[list[list[CtSlice]], Counter[LeftOut]]:
    """A group as stacks without two slices at one place, and what was dropped, by kind.

    Phases of one examination may share a series; then the first attribute counts that tells as many
    stacks apart as there are slices at one place. No stacks where none does.
    """
    if group[0].plane is None or not has_repeats(distances_mm(group)):
        return [group], Counter()
    unique, dropped = _without_duplicates(group)
    if not unique:
        return [], dropped
    distances = distances_mm(unique)
    if not has_repeats(distances):
        return [unique], dropped
    most = max(Counter(repeated(distances).tolist()).values())
    for attribute in range(len(unique[0].variant)):
        parts = defaultdict(list)
        for one in unique:
            parts[one.variant[attribute]].append(one)
        stacks = list(parts.values())
        if 1 < len(stacks) <= most and not any(has_repeats(distances_mm(one)) for one in stacks):
            return stacks, dropped
    return [], dropped


def _without_duplicates(group: list[CtSlice]) -> tuple[list[CtSlice], Counter[LeftOut]]:
    """The group without slices that repeat another's pixels at its place, or cannot be decoded."""
    places = repeated(distances_mm(group)).tolist()
    counts = Counter(places)
    crowded = [index for index, place in enumerate(places) if counts[place] > 1]
    seen: set[tuple[int, int]] = set()
    dropped: dict[int, LeftOut] = {}
    for nth, pixels in each_decoded([group[index] for index in crowded]):
        index = crowded[nth]
        if pixels is None:
            dropped[index] = LeftOut.DAMAGED_SLICE
            continue
        mark = places[index], hash(pixels.tobytes())
        if mark in seen:
            dropped[index] = LeftOut.DUPLICATE_SLICE
        seen.add(mark)
    kept = [one for index, one in enumerate(group) if index not in dropped]
    return kept, Counter(dropped.values())


def distances_mm(group: list[CtSlice]) -> np.ndarray:
    """(n,) mm along the common normal, growing to the head."""
    planes = planes_of(group)
    normal = planes[0].normal
    return np.array([plane.position_mm @ normal for plane in planes])


def planes_of(group: list[CtSlice]) -> list[Plane]:
    """Where the slices of a group lie that has positions: then all of them have."""
    planes = [one.plane for one in group if one.plane is not None]
    assert len(planes) == len(group)
    return planes


def _descriptions(candidates: list[list[CtSlice]]) -> list[Sentence]:
    """One for each; where two would be equal, their range of z or else a number is added."""
    descriptions = [_describe(group) for group in candidates]
    for told_apart in (_by_z, _by_number):
        counts = Counter(descriptions)
        descriptions = [
            told_apart(text, group, number) if counts[text] > 1 else text
            for number, (text, group) in enumerate(zip(descriptions, candidates, strict=True), 1)
        ]
    return descriptions


def _by_z(choice: Sentence, group: list[CtSlice], number: int) -> Sentence:
    if group[0].plane is None:
        return say("choice.without_positions", choice=choice)
    heights = [plane.position_mm[2] for plane in planes_of(group)]
    return say("choice.told_apart_by_z", choice=choice, low=min(heights), high=max(heights))


def _by_number(choice: Sentence, group: list[CtSlice], number: int) -> Sentence:
    return say("choice.numbered", choice=choice, number=number)


def _describe(group: list[CtSlice]) -> Sentence:
    mm = None
    if group[0].plane is not None and len(group) > 1:
        mm = float(np.median(np.diff(np.sort(distances_mm(group)))))
    return describe_scan(len(group), mm, *group[0].shape)


def _nothing_usable(groups: list[list[CtSlice]], left_out: Counter[LeftOut]) -> UploadError:
    reason = left_out.most_common(1)[0][0]
    if reason == LeftOut.DAMAGED_SLICE:
        return broken_pixels()
    if reason == LeftOut.EIGHT_BIT_PICTURE:
        return NotAScan(say("dicom.pictures_not_scan"))
    if reason == LeftOut.UNPLACED_SLICE:
        return NotAScan(say("dicom.no_order"))
    if reason == LeftOut.SAME_PLACE:
        return NotAScan(say("dicom.several_at_one_place"))
    degrees = max(group[0].plane.degrees_off_axial for group in groups if group[0].plane)
    return NotAScan(say("dicom.not_axial", degrees=degrees))
