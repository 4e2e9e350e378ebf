"""Which CT slices of an upload make a scan, and which scan is meant."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from ...errors import NotAScan, UploadError
from ...sentences import Sentence, say
from ..choice import Answers, Choice, Question, describe_scan, numbered
from ..geometry import (
    MAX_OBLIQUE_DEGREES,
    UNIFORM_FRACTION,
    UNIFORM_MM,
    Plane,
    gaps_of,
    has_repeats,
    repeated,
)
from ..kinds import LeftOut
from .pixels import broken_pixels, each_decoded
from .slice import VARIANTS, CtSlice

SAME_DIRECTION = 0.01  # in each coordinate of the unit vectors along rows and columns
LEAST_OF_PASS = 3  # slices
MOST_BETWEEN = 5  # slices of one pass between two of another
MOST_PASSES = 20  # of one series; the phases of a heart are ten or twenty
THICKNESS = VARIANTS.index("SliceThickness") - len(VARIANTS)  # counted from the end of a variant
SAME_PIXEL = 0.001  # of a pixel's size: half a pixel across a slice; writers round differently


def choose_series(
    slices: list[CtSlice], answers: Answers
) -> tuple[list[CtSlice], Counter[LeftOut]]:
    """The slices of the one scan to read, and what was left out for it, by kind.

    Raises:
        ChoiceNeeded: where there are more and nobody says which.
        NotAScan: where there is none.
    """
    candidates, left_out = _candidates(slices)
    chosen = candidates[answers.to(Choice(Question.SCAN, _descriptions(candidates)))]
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
    """A group as the passes that it consists of, and what was dropped, by kind.

    Phases of one examination, and stations, may share a series, at the same places or at others.
    No passes where two slices lie at one place and nothing tells them apart.
    """
    if group[0].plane is None:
        return [group], Counter()
    dropped: Counter[LeftOut] = Counter()
    if has_repeats(distances_mm(group)):
        group, dropped = _without_duplicates(group)
        if not group:
            return [], dropped
    distances = distances_mm(group)
    most = max(Counter(repeated(distances).tolist()).values())
    if most == 1:
        return _passes(group) or [group], dropped
    for stacks in _partitions(group):
        fits = len(stacks) <= most or all(_is_regular(distances_mm(one)) for one in stacks)
        if fits and not any(has_repeats(distances_mm(one)) for one in stacks):
            return [part for one in stacks for part in _passes(one) or [one]], dropped
    return [], dropped


def _passes(group: list[CtSlice]) -> list[list[CtSlice]] | None:
    """Slices at different places as passes that lie between one another, or None.

    Each pass is a regular stack; told apart by an attribute, by the order in which they were made,
    or, where all of them together are none, by their places alone.
    """
    if len(group) < 2 * LEAST_OF_PASS:
        return None
    is_regular = _is_regular(distances_mm(group))
    for stacks in _partitions(group, of_one_stack=is_regular):
        distances = [distances_mm(one) for one in stacks]
        if all(map(_is_regular, distances)) and _overlap(distances):
            return [part for one in stacks for part in _passes(one) or [one]]
    return None if is_regular else _two_grids(group)


def _partitions(group: list[CtSlice], of_one_stack: bool = False) -> Iterator[list[list[CtSlice]]]:
    """A group by each attribute that tells a few stacks apart, and by the order of its slices.

    Args:
        group: with positions.
        of_one_stack: whether it would make a good stack, so that only what passes differ in counts:
            a thickness may be written in two ways.
    """
    for attribute in range(len(group[0].variant)):
        if of_one_stack and attribute == len(group[0].variant) + THICKNESS:
            continue
        parts = defaultdict(list)
        for one in group:
            parts[one.variant[attribute]].append(one)
        if 1 < len(parts) <= MOST_PASSES:
            yield list(parts.values())
    for nth in range(len(group[0].numbers)):
        runs = _runs(group, [one.numbers[nth] for one in group])
        if 1 < len(runs) <= MOST_PASSES and min(map(len, runs)) >= LEAST_OF_PASS:
            yield runs


def _runs(group: list[CtSlice], numbers: list[float | None]) -> list[list[CtSlice]]:
    """Slices in the order of distinct numbers, parted where they turn back; none without them."""
    known = [number for number in numbers if number is not None]
    if len(set(known)) < len(group):
        return []
    distances = distances_mm(group)
    runs: list[list[int]] = []
    direction = 0.0
    for index in np.argsort(known).tolist():
        step = np.sign(distances[index] - distances[runs[-1][-1]]) if runs else 0.0
        if not runs or (direction and step != direction):
            runs.append([index])
            direction = 0.0
        else:
            runs[-1].append(index)
            direction = step
    return [[group[index] for index in run] for run in runs]


def _two_grids(group: list[CtSlice]) -> list[list[CtSlice]] | None:
    """An irregular stack as two regular ones that lie between one another, or None."""
    distances = distances_mm(group)
    order = np.argsort(distances, kind="stable")
    ordered = distances[order]
    for second in range(1, min(1 + MOST_BETWEEN, len(group))):
        step = ordered[second] - ordered[0]
        of_first = _steps_from_first(ordered, step)
        parts = [order[of_first], order[~of_first]]
        found = [distances[part] for part in parts]
        if all(len(one) > LEAST_OF_PASS and _is_regular(one) for one in found) and _overlap(found):
            return [[group[index] for index in part] for part in parts]
    return None


def _steps_from_first(ordered: np.ndarray, step: float) -> np.ndarray:
    """Which places lie at equal steps from the first, until one is missing."""
    tolerance = max(UNIFORM_FRACTION * step, UNIFORM_MM)
    found = np.zeros(len(ordered), bool)
    at, target = 0, ordered[0]
    while at < len(ordered) and ordered[at] <= target + tolerance:
        found[at] = True
        target = ordered[at] + step
        at = int(np.searchsorted(ordered, target - tolerance))
    return found


def _is_regular(distances: np.ndarray) -> bool:
    """Whether slices at these places, in any order, make a pass."""
    ordered = np.sort(distances)
    return len(ordered) >= LEAST_OF_PASS and gaps_of(ordered, ordered).spacing_mm is not None


def _overlap(stacks: list[np.ndarray]) -> bool:
    """Whether each stack lies, at least with one end, inside another."""
    ends = [(one.min(), one.max()) for one in stacks]
    return all(
        any(
            low < other_high and other_low < high
            for other_low, other_high in ends[:k] + ends[k + 1 :]
        )
        for k, (low, high) in enumerate(ends)
    )


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


def _descriptions(candidates: list[list[CtSlice]]) -> tuple[Sentence, ...]:
    """One for each; where two would be equal, their range of z or else a number is added."""
    descriptions = [_describe(group) for group in candidates]
    counts = Counter(descriptions)
    return numbered(
        [
            _by_z(text, group) if counts[text] > 1 else text
            for text, group in zip(descriptions, candidates, strict=True)
        ]
    )


def _by_z(choice: Sentence, group: list[CtSlice]) -> Sentence:
    if group[0].plane is None:
        return say("choice.without_positions", choice=choice)
    heights = [plane.position_mm[2] for plane in planes_of(group)]
    return say("choice.told_apart_by_z", choice=choice, low=min(heights), high=max(heights))


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
