"""PNG and JPEG masks: what their palette's indices, their grays and their colors mean.

A palette's index is the label. Of two grays the brighter is the tumor. One color is the liver; of
two, those of our own export are known, and of others the one that lies inside the other is the
tumor, or the person is asked. After JPEG or smoothing, values are found again by what flat areas
have, and the edges between them go to the nearer one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import TruthMismatch
from ..sentences import Sentence, say
from ..volume import BACKGROUND, LIVER, TUMOR, Volume
from .alignment import few_values, size_mismatch
from .archive import Member
from .choice import Answers, Choice, Question, numbered
from .pictures import NO_NOISE, Picture, natural_order, opened_picture, read_picture
from .structure_names import labels_by_value

MASK_VALUES = 3  # distinct grays or colors that a mask may have
AS_COLOR = 0x010101  # times a gray value is the code of that gray as a color
OUR_COLORS = {0x56B4E9: LIVER, 0xE69F00: TUMOR}  # in which `writing.labels` exports
NAMED = {
    "black": 0x000000,
    "blue": 0x0000FF,
    "brown": 0x8B4513,
    "cyan": 0x00FFFF,
    "gray": 0x808080,
    "green": 0x00C000,
    "magenta": 0xFF00FF,
    "orange": 0xFF8000,
    "pink": 0xFFA0C0,
    "purple": 0x800080,
    "red": 0xFF0000,
    "white": 0xFFFFFF,
    "yellow": 0xFFFF00,
}
DARK = 16  # channels up to here are black
SAME_COLOR = 24  # channels of one color may differ by this after JPEG
INSIDE = 0.75  # of a color's border touches the other color

FLAT = 8  # gray values by which neighbors in a flat area differ at most
OF_ONE_LEVEL = {1: 8, 3: 24}  # how far values of one gray or one color lie apart
COARSE = 4  # colors are counted in steps of this
LEAST_PIXELS, LEAST_SHARE = 9, 0.005  # of a level; the share is of all that is set
EDGE = 6  # pixels from a flat area to the middle of its edge
OVERSHOOT = {1: 48, 3: 100}  # of JPEG at edges; chroma is stored coarsely
ROUGH = 0.5  # share of pixels that are not flat from which pictures are no masks
UNCERTAIN = 0.03  # of what is set may be neither flat nor an edge between two levels
UNLIKE_SLICES = 0.2  # the same, of masks too rough to be used: slices have more

Pick = Callable[..., np.ndarray]


def read_picture_masks(
    members: list[Member], volume: Volume, answers: Answers
) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    """Masks in the order of their names as labels, (n, y, x) uint8 of a scan's slices.

    Raises:
        ChoiceNeeded: nothing tells what two colors show.
        TruthMismatch: another size, no masks, or of unknown meaning.
    """
    members = natural_order(members)
    has_palettes, is_jpeg = True, False
    for member in members:
        with opened_picture(member) as image:
            found, is_jpeg = image.size[::-1], is_jpeg or image.format == "JPEG"
            has_palettes = has_palettes and image.mode == "P"
        if found != volume.shape[1:]:
            raise size_mismatch(found, volume)
    budget = members[0].budget
    shape = (len(members), *volume.shape[1:])
    budget.spend("truth_voxels", math.prod(shape))
    budget.allow(math.prod(shape))
    labels = _by_index(members, shape) if has_palettes else None
    if labels is not None:
        return labels, ()
    by_value = None if is_jpeg else _by_value(members, shape, answers)
    return by_value or _by_level(members, shape, answers)


def _by_index(members: list[Member], shape: tuple[int, int, int]) -> np.ndarray | None:
    """Labels by the palettes' indices; None where colors say that indices are no labels."""
    indices = np.empty(shape, np.uint8)
    colors = defaultdict(set)
    for plane, member in zip(indices, members, strict=True):
        picture = read_picture(member, as_indices=True)
        plane[...] = picture.pixels
        for index in few_values(plane, MASK_VALUES):
            colors[index].add(picture.palette[index])
    if any(len(ones) > 1 for ones in colors.values()):
        return None
    is_gray = all(len(set(color)) == 1 for ones in colors.values() for color in ones)
    if is_gray and len(colors) > MASK_VALUES:  # smoothed
        return None
    is_black = {index: max(next(iter(ones))) <= DARK for index, ones in colors.items()}
    if any(is_black.values()) and not is_black.get(BACKGROUND):
        return None
    return _plausible(_labelled(indices, labels_by_value(_without_background(colors))))


def _without_background(values: Counter[int] | dict) -> list[int]:
    """The values of masks but 0."""
    if BACKGROUND not in values:
        raise TruthMismatch(say("truth.no_background"))
    return [value for value in values if value != BACKGROUND]


def _labelled(values: np.ndarray, labels: dict[int, int]) -> np.ndarray:
    """Integers of any type as labels, uint8."""
    found = np.zeros(values.shape, np.uint8)
    for value, label in labels.items():
        found[values == value] = label
    return found


def _by_value(
    members: list[Member], shape: tuple[int, int, int], answers: Answers
) -> tuple[np.ndarray, tuple[Sentence, ...]] | None:
    """Labels by grays or colors; None where there are more than a mask has."""
    codes = np.empty(shape, np.int32)
    areas: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    gray_planes, steps = [], set()
    for plane, picture in zip(codes, map(read_picture, members), strict=True):
        is_color = picture.pixels.ndim == 3
        _write_codes(picture.pixels, plane)
        areas[is_color].update(few_values(plane, MASK_VALUES))
        steps.add(picture.gray_step)
        if not is_color:
            gray_planes.append(plane)
    is_color = bool(areas[True])
    found = areas[is_color]
    if is_color:
        for plane in gray_planes:
            plane *= AS_COLOR
        for gray, area in areas[False].items():
            found[gray * AS_COLOR] += area
    if len(found) > MASK_VALUES or max(found) >= 1 << 24:
        return None
    values = _without_background(found)
    if is_color:
        numbers = _labelled(codes, dict(zip(values, (1, 2), strict=False)))
        return _of_colors(numbers, values, answers)
    step = steps.pop() if len(steps) == 1 else 1  # of 2 and 4 bits, which Pillow spreads to 255
    if {value // step for value in values} <= {LIVER, TUMOR}:
        return _labelled(codes, {value: value // step for value in values}), ()
    return _plausible(_labelled(codes, labels_by_value(values))), ()


def _plausible(labels: np.ndarray) -> np.ndarray:
    """The labels, unless numbers or grays meant something else: no liver lies inside its tumors."""
    if _inner(labels) == LIVER:
        raise TruthMismatch(say("truth.liver_inside"))
    return labels


def _write_codes(pixels: np.ndarray, plane: np.ndarray) -> None:
    """Fills (y, x) int32 with one number per gray or color."""
    if pixels.ndim == 2:
        plane[...] = pixels
        return
    plane[...] = 0
    for channel in range(3):
        plane <<= 8
        plane |= pixels[..., channel]


def _of_colors(
    numbers: np.ndarray, colors: list[int], answers: Answers
) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    """Colors as labels.

    Args:
        numbers: (z, y, x) uint8, 1 where the first color is, 2 where the second.
        colors: one or two.
        answers: of the person, who may know what two colors show.
    """
    ours = [_ours(color) for color in colors]
    if all(ours) and len(set(ours)) == len(ours):
        return _labelled(numbers, dict(enumerate(ours, start=1))), ()
    if len(colors) < 2:
        return numbers, ()
    inner = _inner(numbers)
    if inner is None or answers.given(Question.COLORS) is not None:
        return _labelled(numbers, _answered(numbers, colors, answers)), ()
    return _labelled(numbers, {inner: TUMOR, 3 - inner: LIVER}), (say("truth.color_inside"),)


def _answered(numbers: np.ndarray, colors: list[int], answers: Answers) -> dict[int, int]:
    """What each of two colors shows, as the person says."""
    areas = np.bincount(numbers.ravel(), minlength=3)[1:]
    named = {
        number: say(
            "choice.color", name=say(f"choice.color_{_name(color)}"), share=area / areas.sum()
        )
        for number, color, area in zip((1, 2), colors, areas, strict=True)
    }
    pairs = [(1, 2), (2, 1)] if colors[0] < colors[1] else [(2, 1), (1, 2)]
    options = [
        *(say("choice.colors_of_both", liver=named[one], tumor=named[two]) for one, two in pairs),
        *(say("choice.color_of_liver", liver=named[one]) for one, _ in pairs),
    ]
    nth = answers.to(Choice(Question.COLORS, numbered(options)))
    one, two = pairs[nth % 2]
    return {one: LIVER, two: TUMOR if nth < 2 else BACKGROUND}


def _name(color: int) -> str:
    """The nearest color that has a name."""
    return min(NAMED, key=lambda name: math.dist(_rgb(NAMED[name]), _rgb(color)))


def _ours(color: int) -> int:
    """The label of a color of our own export; 0 for every other color."""
    for own, label in OUR_COLORS.items():
        if max(abs(a - b) for a, b in zip(_rgb(own), _rgb(color), strict=True)) <= SAME_COLOR:
            return label
    return BACKGROUND


def _rgb(color: int) -> tuple[int, int, int]:
    return color >> 16, color >> 8 & 255, color & 255


def _inner(numbers: np.ndarray) -> int | None:
    """Which of two structures lies inside the other, 1 or 2; None where neither or both seem to."""
    touching = np.zeros((3, 3), int)
    for plane in numbers:
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            pairs = np.bincount((one * np.uint8(3) + other).ravel(), minlength=9).reshape(3, 3)
            touching += pairs + pairs.T
    inside = [
        touching[one, 3 - one] >= INSIDE * (touching[one, 3 - one] + touching[one, 0]) > 0
        for one in (1, 2)
    ]
    return None if inside[0] == inside[1] else 1 + inside.index(True)


@dataclass(frozen=True, eq=False)
class _Blurred:
    """A picture after JPEG or smoothing.

    Attributes:
        pixels: (y, x, channels) uint8.
        flat: (y, x) where a pixel is as all around it are.
    """

    pixels: np.ndarray
    flat: np.ndarray


def _blurred(members: Sequence[Member], channels: int) -> Iterator[_Blurred]:
    for picture in map(read_picture, members):
        pixels = picture.gray[..., None] if channels == 1 else _as_color(picture)
        spread = _around(pixels, np.maximum) - _around(pixels, np.minimum)
        yield _Blurred(pixels, (spread <= FLAT).all(axis=2))


def _as_color(picture: Picture) -> np.ndarray:
    return picture.pixels if picture.pixels.ndim == 3 else np.dstack([picture.gray] * 3)


def _around(values: np.ndarray, pick: Pick) -> np.ndarray:
    """The extreme of each pixel and its eight neighbors."""
    down = values.copy()
    pick(down[1:], values[:-1], out=down[1:])
    pick(down[:-1], values[1:], out=down[:-1])
    found = down.copy()
    pick(found[:, 1:], down[:, :-1], out=found[:, 1:])
    pick(found[:, :-1], down[:, 1:], out=found[:, :-1])
    return found


def _by_level(
    members: list[Member], shape: tuple[int, int, int], answers: Answers
) -> tuple[np.ndarray, tuple[Sentence, ...]]:
    """Labels of masks that JPEG or smoothing gave more values than they had.

    Raises:
        TruthMismatch: they are no masks, or too faint to be told from what JPEG adds.
    """
    numbers = np.empty(shape, np.uint8)
    levels, uncertain = _number_all(members, numbers)
    if uncertain > UNCERTAIN:
        raise TruthMismatch(say("truth.pictures_not_masks"))
    channels = len(levels[0])
    values = [[round(value) for value in level] for level in levels[1:]]
    if channels == 3:
        colors = [red << 16 | green << 8 | blue for red, green, blue in values]
        return _of_colors(numbers, colors, answers)
    labels = labels_by_value([gray for (gray,) in values])
    numbered = {number: labels[gray] for number, (gray,) in enumerate(values, start=1)}
    return _plausible(_labelled(numbers, numbered)), ()


def are_masks(members: Sequence[Member]) -> bool:
    """Whether pictures are masks to which JPEG or smoothing may have added values.

    Args:
        members: of one size, not all blank.
    """
    with opened_picture(members[0]) as image:
        numbers = np.empty((len(members), *image.size[::-1]), np.uint8)
    try:
        levels, uncertain = _number_all(members, numbers)
    except TruthMismatch:
        return False
    if len(levels) < 2 or uncertain > UNLIKE_SLICES:
        return False
    return _is_without_noise(members, len(levels[0]))


def _is_without_noise(members: Sequence[Member], channels: int) -> bool:
    """Whether neighbors in flat areas are equal but for rounding, as no scanner makes them."""
    equal = total = 0
    for blurred in _blurred(members, channels):
        values = blurred.pixels.max(axis=2).astype(np.int16)
        inner = (blurred.flat & (values > DARK))[:, :-1]
        equal += int(np.count_nonzero(np.abs(np.diff(values, axis=1))[inner] <= 1))
        total += int(np.count_nonzero(inner))
    return equal > NO_NOISE * total


def _number_all(members: Sequence[Member], numbers: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Fills (z, y, x) uint8 with the number of each pixel's level.

    Returns:
        The levels, and how much of what is set is neither flat nor an edge between two of them.

    Raises:
        TruthMismatch: the pictures are no masks, or too faint.
    """
    channels = 3 if any(read_picture(member).pixels.ndim == 3 for member in members) else 1
    levels = _levels(members, channels)
    uncertain = 0
    for plane, blurred in zip(numbers, _blurred(members, channels), strict=True):
        uncertain += _number(blurred, levels, plane)
    return levels, uncertain / max(1, int(np.count_nonzero(numbers)))


def _levels(members: Sequence[Member], channels: int) -> list[np.ndarray]:
    """The grays or colors of flat areas, the background first."""
    step = 1 if channels == 1 else COARSE
    per_channel = 256 // step
    counts, brightest, rough = np.zeros(per_channel**channels, int), 0, 0
    for blurred in _blurred(members, channels):
        codes = np.zeros(np.count_nonzero(blurred.flat), np.int32)
        for channel in range(channels):
            codes = codes * per_channel + blurred.pixels[..., channel][blurred.flat] // step
        counts += np.bincount(codes, minlength=len(counts))
        rough += blurred.flat.size - len(codes)
        brightest = max(brightest, int(blurred.pixels.max()))
    bins = np.flatnonzero(counts)
    left, centers = counts[bins], np.empty((len(bins), channels))
    for channel in range(channels):
        code = bins // per_channel ** (channels - 1 - channel) % per_channel
        centers[:, channel] = code * step + (step - 1) / 2
    found: list[tuple[int, np.ndarray]] = []
    while left.any() and len(found) <= MASK_VALUES:
        peak = centers[left.argmax()]
        near = (np.abs(centers - peak).max(axis=1) <= OF_ONE_LEVEL[channels]) & (left > 0)
        mass = int(left[near].sum())
        if found and mass < max(LEAST_PIXELS, LEAST_SHARE * sum(other for other, _ in found[1:])):
            break
        found.append((mass, np.average(centers[near], axis=0, weights=left[near])))
        left[near] = 0
    levels = sorted((level for _, level in found), key=max)
    if len(levels) > MASK_VALUES or rough > ROUGH * (rough + counts.sum()):
        raise TruthMismatch(say("truth.pictures_not_masks"))
    if max(levels[0]) > DARK:
        raise TruthMismatch(say("truth.no_background"))
    if len(levels) == 1 and brightest:
        raise TruthMismatch(say("truth.faint_masks"))
    return levels


def _number(blurred: _Blurred, levels: list[np.ndarray], plane: np.ndarray) -> int:
    """Fills (y, x) uint8 with the number of each pixel's level.

    Returns:
        How many pixels are neither of a level nor an edge between levels that are near.
    """
    pixels = blurred.pixels
    distances = np.stack([_distance(pixels, level) for level in levels])
    nearest = distances.argmin(axis=0).astype(np.uint8)
    sure = blurred.flat & (distances.min(axis=0) <= OF_ONE_LEVEL[pixels.shape[2]])
    low, high = np.full(pixels.shape, 255, np.uint8), np.zeros(pixels.shape, np.uint8)
    for number, level in enumerate(levels):
        near = sure & (nearest == number)
        for _ in range(EDGE):
            near = _around(near, np.logical_or)
        distances[number][~near] = 256
        value = np.rint(level).astype(np.uint8)
        np.minimum(low, value, out=low, where=near[..., None])
        np.maximum(high, value, out=high, where=near[..., None])
    is_near = distances.min(axis=0) < 256
    plane[...] = np.where(~sure & is_near, distances.argmin(axis=0), nearest)
    most = OVERSHOOT[pixels.shape[2]]
    above = (pixels > np.minimum(high, 255 - most) + most).any(axis=2)
    below = (pixels < np.maximum(low, most) - most).any(axis=2)
    return int(np.count_nonzero(~sure & (above | below | ~is_near)))


def _distance(pixels: np.ndarray, level: np.ndarray) -> np.ndarray:
    """(y, x) int16: by how much a pixel's channels differ from a level's at most."""
    value = np.rint(level).astype(np.int16)
    found = np.zeros(pixels.shape[:2], np.int16)
    for channel in range(pixels.shape[2]):
        np.maximum(found, np.abs(pixels[..., channel] - value[channel]), out=found)
    return found
