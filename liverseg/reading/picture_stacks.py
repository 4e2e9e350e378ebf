"""Which pictures of an upload belong together: slices of one scan, its masks, and what is neither.

Uploads of pictures are folders of slices and of masks, slices named after their volumes, the same
slice in two formats, previews and colored overlays. They are grouped by folder, pattern of the
name, format and size; what a group shows is decided by its pictures, and by its name where these
agree.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import numpy as np

from ..errors import NotAScan, UploadError
from ..sentences import Sentence, say
from ..volume import Volume
from .archive import Member, natural_key
from .choice import Answers, Choice, Question, describe_scan, numbered
from .file_names import MASK_WORDS, OTHER_WORDS, names_of, volumes_of
from .kinds import LeftOut
from .limits import LIMITS
from .picture_masks import are_masks
from .pictures import Picture, Shows, opened_picture, read_picture, read_pictures, size_of
from .structure_names import Said, said_by_path

LOOKED_AT = 5  # pictures of a group that are not blank
MOSTLY = 0.5  # of these
FEW = 3  # slices up to which a scan may have no more than a lone picture beside it
BLOCK = 8  # pixels over which grays are averaged, so that JPEG makes no difference
SAME_GRAY = 6.0  # by which these averages of one slice in two formats differ at most


class Role(Enum):
    """What a group of pictures is."""

    SLICES = auto()
    MASKS = auto()
    OTHER = auto()  # overlays, previews


@dataclass(frozen=True, eq=False)
class Stack:
    """Pictures that belong together, in the order of their names.

    Attributes:
        members: the files.
        size: (width, height).
        format: PNG, JPEG or TIFF.
        roles: words of their names that say what they are.
        subject: what their names say besides, such as the number of a volume.
        role: by their pictures.
        is_colored: whether most have colors.
    """

    members: list[Member] = field(repr=False)
    size: tuple[int, int]
    format: str
    roles: frozenset[str] = field(repr=False)
    subject: tuple[str, ...] = field(repr=False)
    role: Role = Role.SLICES
    is_colored: bool = False

    def __len__(self) -> int:
        return len(self.members)

    @property
    def names_structure(self) -> bool:
        """Whether its names say which organ it shows."""
        *folders, name = self.members[0].parts
        return said_by_path((*folders, name.split(".")[0])) != Said.NOTHING


@dataclass(eq=False)
class Stacks:
    """All pictures of an upload.

    Attributes:
        scans: slices, by the order of their names.
        masks: of any of them.
        left_out: what is neither.
    """

    scans: list[Stack] = field(default_factory=list)
    masks: list[Stack] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    def chosen(self, answers: Answers) -> Stack:
        """The scan that is meant.

        Raises:
            ChoiceNeeded: there are several.
        """
        return self.scans[answers.to(Choice(Question.SCAN, self._options(self.scans)))]

    def masks_of(self, scan: Stack) -> list[Stack]:
        """The masks that lie beside a scan."""
        fitting = [one for one in self.masks if one.size == scan.size]
        if len(self.scans) == 1:
            return fitting
        return [one for one in fitting if one.subject == scan.subject]

    def masks_for(self, slices: int, answers: Answers) -> list[Stack]:
        """The masks that are meant for a scan of so many slices.

        Raises:
            ChoiceNeeded: there are masks of several scans of which nothing tells which it is.
        """
        if self.scans and (len(self.scans) == 1 or answers.given(Question.SCAN) is not None):
            return self.masks_of(self.chosen(answers))
        if any(one.names_structure for one in self.masks):
            return self.masks
        sets = defaultdict(list)
        for stack in self.masks:
            sets[stack.subject].append(stack)
        fitting = [ones for ones in sets.values() if {len(one) for one in ones} == {slices}]
        if not fitting:
            return self.masks
        options = self._options([ones[0] for ones in fitting])
        return fitting[answers.to(Choice(Question.MASKS, options))]

    @staticmethod
    def _options(stacks: Iterable[Stack]) -> tuple[Sentence, ...]:
        return numbered([describe_scan(len(one), None, *one.size[::-1]) for one in stacks])


def stacks_of(members: Sequence[Member]) -> Stacks:
    """Sorts the pictures of an upload.

    Raises:
        NotAScan: lone pictures of different sizes.
        BrokenFile, TooLarge: a picture cannot be read.
    """
    stacks = [part for group in _groups(members) for part in _by_role(group)]
    found = Stacks(masks=[one for one in stacks if one.role == Role.MASKS])
    scans = [one for one in stacks if one.role == Role.SLICES]
    others = [one for one in stacks if one.role == Role.OTHER]
    if not scans and not found.masks:
        scans, others = others, []
    if any(not one.is_colored for one in scans):
        others += [one for one in scans if one.is_colored]
        scans = [one for one in scans if not one.is_colored]
    if len({one.size for one in scans}) > 1 and max(map(len, scans)) == 1:
        first, second = list(dict.fromkeys(one.size for one in scans))[:2]
        sizes = {"first": size_of(first), "second": size_of(second)}
        raise NotAScan(say("picture.sizes_differ", **sizes))
    if scans and max(map(len, scans)) > FEW:
        others += [one for one in scans if len(one) == 1]
        scans = [one for one in scans if len(one) > 1]
    found.scans = _without_copies(scans, found.left_out)
    found.left_out[LeftOut.PICTURE] += sum(map(len, others))
    return found


def _groups(members: Sequence[Member]) -> list[Stack]:
    """Pictures by folder, pattern of the name, format, size and volume."""
    names = names_of(members)
    kinds = []
    for member in members:
        with opened_picture(member) as image:
            kinds.append((str(image.format), image.size))
    known = (math.prod(size) for _, size in kinds if max(size) <= LIMITS.side)
    members[0].budget.allow(sum(known))

    def by_folder(index: int) -> tuple:
        return members[index].parts[:-1], names[index].pattern, *kinds[index]

    def by_pattern(index: int) -> tuple:
        folders = tuple("#" if one.isdecimal() else one for one in names[index].folders)
        return folders, names[index].pattern, *kinds[index]

    def by_role(index: int) -> tuple:
        return sorted(names[index].roles), *kinds[index]

    for key in (by_folder, by_pattern, by_role):
        parts = _parted(range(len(members)), key)
        alone = sum(len(part) == 1 for part in parts)
        if alone <= MOSTLY * len(members) or key is by_role:
            break
    stacks = []
    for part in parts:
        some = [names[index] for index in part]
        has_one_pattern = len({name.pattern for name in some}) == 1 and key is by_folder
        volumes = volumes_of(some) if has_one_pattern else [(list(range(len(some))), None)]
        for volume, slice_at in volumes:
            ones = sorted((part[index] for index in volume), key=lambda k: natural_key(members[k]))
            form, size = kinds[ones[0]]
            name = names[ones[0]]
            in_order = [members[k] for k in ones]
            stacks.append(Stack(in_order, size, form, name.roles, name.subject(slice_at)))
    return sorted(stacks, key=lambda stack: natural_key(stack.members[0]))


def _parted(indices: Iterable[int], key: Callable[[int], tuple]) -> list[list[int]]:
    """Indices by what a key says of them, in the order in which the keys come."""
    parts = defaultdict(list)
    for index in indices:
        parts[repr(key(index))].append(index)
    return list(parts.values())


def _by_role(stack: Stack) -> list[Stack]:
    """A group with its role, by some of its pictures and by its name; as two if it holds both."""
    looked_at = list(_looked_at(stack.members))
    is_named_mask = bool(stack.roles & MASK_WORDS)
    if not looked_at:  # all blank
        return [replace(stack, role=Role.MASKS if is_named_mask else Role.SLICES)]
    some = [member for member, _ in looked_at]
    pictures = [picture for _, picture in looked_at]
    is_eight_bit = all(picture.pixels.dtype == np.uint8 for picture in pictures)
    if (
        all(picture.shows == Shows.MASK for picture in pictures)
        or all(picture.looks_like_mask for picture in pictures)
        or (is_eight_bit and are_masks(some))
    ):
        return [replace(stack, role=Role.MASKS)]
    if is_eight_bit and any(map(_is_mask, some)):
        parts = _parted(range(len(stack)), lambda index: (_is_mask(stack.members[index]),))
        if len(parts) > 1:
            split = [replace(stack, members=[stack.members[k] for k in part]) for part in parts]
            return [
                replace(one, role=Role.MASKS) if _is_mask(one.members[0]) else one for one in split
            ]
    colored = sum(picture.shows == Shows.COLORS for picture in pictures)
    role = Role.OTHER if stack.roles & (OTHER_WORDS | MASK_WORDS) else Role.SLICES
    return [replace(stack, role=role, is_colored=colored > MOSTLY * len(looked_at))]


def _is_mask(member: Member) -> bool:
    shows = read_picture(member).shows
    return shows == Shows.MASK or (shows != Shows.NOTHING and are_masks([member]))


def _looked_at(members: list[Member]) -> Iterator[tuple[Member, Picture]]:
    """Some pictures that are not blank, from the middle outwards."""
    middle, seen = len(members) // 2, 0
    for index in sorted(range(len(members)), key=lambda index: abs(index - middle)):
        picture = read_picture(members[index])
        if picture.shows == Shows.NOTHING:
            continue
        yield members[index], picture
        seen += 1
        if seen == LOOKED_AT:
            return


def _without_copies(scans: list[Stack], left_out: Counter[LeftOut]) -> list[Stack]:
    """The scans without those that hold the pictures of another; the lossless one stays."""
    kept: dict[tuple, Stack] = {}
    for stack in sorted(scans, key=lambda one: one.format == "JPEG"):
        about = len(stack), stack.size, stack.subject
        if about in kept and _is_copy(stack, kept[about]):
            left_out[LeftOut.DUPLICATE_SLICE] += len(stack)
        else:
            kept[(*about, id(stack)) if about in kept else about] = stack
    return [one for one in scans if one in kept.values()]


def _is_copy(first: Stack, second: Stack) -> bool:
    """Whether two groups of as many pictures hold the same slices, in two formats or folders."""
    for index in {0, len(first) // 2, len(first) - 1}:
        blocks = [_coarse(read_picture(one.members[index]).gray) for one in (first, second)]
        if np.abs(blocks[0] - blocks[1]).max() > SAME_GRAY:
            return False
    return True


def _coarse(gray: np.ndarray) -> np.ndarray:
    """Averages of blocks of a picture, (y, x) float."""
    y, x = (count // BLOCK or 1 for count in gray.shape)
    ends = [
        np.linspace(0, size, n + 1).astype(int)[:-1]
        for size, n in zip(gray.shape, (y, x), strict=True)
    ]
    sums = np.add.reduceat(np.add.reduceat(gray.astype(np.float64), ends[0], 0), ends[1], 1)
    areas = np.outer(
        *(np.diff(end, append=size) for end, size in zip(ends, gray.shape, strict=True))
    )
    return sums / areas


def read_stack(members: Sequence[Member], answers: Answers) -> tuple[Volume, Counter[LeftOut]]:
    """The scan among pictures, and what was left out for it.

    Raises:
        ChoiceNeeded: there are several scans.
        NotAScan: there are only masks, or what the pictures are is no slice.
    """
    stacks = stacks_of(members)
    if not stacks.scans:
        raise NotAScan(say("picture.mask_not_scan"))
    chosen = stacks.chosen(answers)
    volume, masks = read_pictures(chosen.members)
    beside = sum(map(len, stacks.masks_of(chosen)))
    of_others = sum(map(len, stacks.masks)) + sum(map(len, stacks.scans)) - len(chosen) - beside
    return volume, stacks.left_out + Counter(
        {LeftOut.MASK: masks + beside, LeftOut.PICTURE: of_others}
    )


def truth_pictures(
    members: Sequence[Member], slices: int, answers: Answers
) -> tuple[list[Member], Counter[LeftOut]]:
    """The pictures among an upload's that are masks of a scan, and what was left out.

    Where nothing tells masks from slices, all of them.

    Args:
        members: all pictures.
        slices: of the scan.
        answers: of the person.

    Raises:
        ChoiceNeeded: there are masks of several scans.
    """
    stacks = stacks_of(members)
    masks = [one for stack in stacks.masks_for(slices, answers) for one in stack.members]
    if not masks or len(members) == slices:
        return list(members), Counter()
    return masks, Counter({LeftOut.PICTURE: len(members) - len(masks)})


def masks_beside(members: Sequence[Member]) -> int:
    """How many of the pictures beside a scan of another format are masks."""
    try:
        return sum(map(len, stacks_of(members).masks)) if members else 0
    except UploadError:
        return 0
