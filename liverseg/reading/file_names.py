"""What the names of files say: which are masks, which belong to one scan, and in what order.

Names differ by program and language, so nothing is taken from them that the files themselves
contradict; `picture_stacks` and `mask_order` look at both.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .archive import Member
from .structure_names import LIVER_WORDS, TUMOR_WORDS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MASK_WORDS = _words(
    "anno annot annotated annotation annotations contour contours etiqueta etiquetas etiquette "
    "gt gts ground groundtruth label labeled labelled labels lbl lbls manual mascara mascaras "
    "maschera maschere mask masks maske masken masque masques msk msks roi rois seg segm segmented "
    "segmentacion segmentation segmentations segmentazione segmentierung segs target targets truth"
)
OTHER_WORDS = _words(
    "blend blended contact figure figures fusion heatmap heatmaps logo montage overlaid overlay "
    "overlays preview previews screenshot screenshots thumb thumbnail thumbnails thumbs "
    "visualisation visualization vis viz vorschau"
)
SLICE_WORDS = _words(
    "bild coupe coupes corte cortes fetta frame im image images imagen imagenes imagens imgs img "
    "layer plane schicht schichten sl slice slices tranche z"
)
NUMBERED_SLICES = _words(  # right before the number of a slice; an image may be one of a series
    "coupe coupes corte cortes fetta frame layer plane schicht schichten sl slice slices tranche z"
)
VOLUME_WORDS = _words(
    "case exam fall paciente pat patient paziente pid scan series serie ser study subject subj vol "
    "volume volumen"
)
SCAN_WORDS = _words(
    "bilder copia copie copy ct cts data input inputs jpeg jpg kopie orig original originals pic "
    "picture pictures png raw scans the volumes"
)
STRUCTURE_WORDS = _words(
    "fegato figado foie higado lebertumor leber lesion lesiones lesions lever liver livertumor "
    "livertumors metastases metastasis mets tumeur tumor tumore tumoren tumores tumors tumour "
    "tumours"
)
SAY_NO_SUBJECT = MASK_WORDS | OTHER_WORDS | SLICE_WORDS | VOLUME_WORDS | SCAN_WORDS
KNOWN_WORDS = SAY_NO_SUBJECT | STRUCTURE_WORDS  # which the page keeps of a picture's name
TOKEN = re.compile(r"\d+|[^\W\d_]+")
LONGEST = 1000  # letters of a part that are looked at
MOST_DIGITS = 18  # of a number that is compared
MOST_TRIED = 8  # numbers of a name
LEAST = 2  # pictures of one pattern, from which it is more than a coincidence


@dataclass(frozen=True, eq=False)
class Name:
    """The words and numbers of a file's name.

    Attributes:
        folders: words and numbers of the folders, without those that all files share.
        tokens: of the file's name, without its ending.
    """

    folders: tuple[str, ...]
    tokens: tuple[str, ...]

    @cached_property
    def words(self) -> frozenset[str]:
        """All words."""
        return frozenset(one for one in (*self.folders, *self.tokens) if not one.isdecimal())

    @cached_property
    def roles(self) -> frozenset[str]:
        """The words that say that this is a mask, or neither slice nor mask."""
        return self.words & (MASK_WORDS | OTHER_WORDS)

    @cached_property
    def pattern(self) -> tuple[str, ...]:
        """The name with a mark in place of each number."""
        return tuple("#" if one.isdecimal() else one for one in self.tokens)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The numbers in the file's name."""
        return tuple(int(one[:MOST_DIGITS]) for one in self.tokens if one.isdecimal())

    def subject(self, slice_at: int | None) -> tuple[str, ...]:
        """What is left without words for masks, slices and organs, and without a slice's number.

        Args:
            slice_at: which of `numbers` is the slice's.
        """
        numbers = iter(range(len(self.numbers)))
        tokens = [one for one in self.tokens if not one.isdecimal() or next(numbers) != slice_at]
        return tuple(one for one in (*self.folders, *tokens) if not _says_no_subject(one))


def _says_no_subject(token: str) -> bool:
    found = token in SAY_NO_SUBJECT or LIVER_WORDS.search(token) or TUMOR_WORDS.search(token)
    return bool(found)


def names_of(members: Sequence[Member]) -> list[Name]:
    """The names of some files of an upload."""
    paths = [member.parts for member in members]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return [
        Name(
            tuple(token for part in path[shared:-1] for token in _tokens(part)),
            tuple(_tokens(path[-1].rpartition(".")[0] or path[-1])),
        )
        for path in paths
    ]


def _tokens(part: str) -> list[str]:
    """Words, small and without accents, and numbers in the digits 0 to 9."""
    part = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part[-LONGEST:])
    plain = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", part)).lower()
    return [_digits(one) if one.isdecimal() else one for one in TOKEN.findall(plain)]


def _digits(number: str) -> str:
    return "".join(str(unicodedata.decimal(one)) for one in number)


def volumes_of(names: Sequence[Name]) -> list[tuple[list[int], int | None]]:
    """Names of one pattern as volumes: the indices of each, and which number is the slice's.

    The number of a volume is known by the word before it, or because the numbers of the slices
    begin again; that of the slice is the last unless a word says otherwise.
    """
    numbers = [name.numbers for name in names]
    varying = [at for at in range(len(numbers[0])) if len({one[at] for one in numbers}) > 1]
    if not varying:
        return [(list(range(len(names))), None)]
    hints = _hints(names[0])
    for at in varying:
        parts = _parted([one[at] for one in numbers])
        if hints[at] in VOLUME_WORDS and len(varying) > 1 and len(names) >= LEAST * len(parts):
            others = _likeliest([one for one in varying if one != at], hints)
            return [(part, _distinct_in(part, others, numbers)) for part in parts]
    likeliest = _likeliest(varying, hints)[:MOST_TRIED]
    everything = list(range(len(names)))
    of_slices = _distinct_in(everything, likeliest, numbers)
    if of_slices is not None:
        return [(everything, of_slices)]
    for at in likeliest:
        parts = _parted([one[:at] + one[at + 1 :] for one in numbers])
        is_distinct = all(_distinct_in(part, [at], numbers) is not None for part in parts)
        if is_distinct and len(names) >= LEAST * len(parts):
            return [(part, at) for part in parts]
    return [(everything, None)]


def _likeliest(varying: list[int], hints: list[str]) -> list[int]:
    """Which numbers may be the slices', the likeliest first."""
    return sorted(varying, key=lambda at: (hints[at] not in NUMBERED_SLICES, -at))


def _distinct_in(
    part: list[int], candidates: list[int], numbers: list[tuple[int, ...]]
) -> int | None:
    """The first number that is another in each name of a part."""
    for at in candidates:
        if len({numbers[index][at] for index in part}) == len(part):
            return at
    return None


def _hints(name: Name) -> list[str]:
    """The word right before each number, or nothing."""
    pairs = zip(("", *name.tokens), name.tokens, strict=False)
    return [before for before, token in pairs if token.isdecimal()]


def _parted(keys: Sequence[Any]) -> list[list[int]]:
    """Indices of equal keys, in the order of the keys."""
    parts = defaultdict(list)
    for index, key in enumerate(keys):
        parts[key].append(index)
    return [parts[key] for key in sorted(parts)]


def slice_numbers(members: Sequence[Member]) -> np.ndarray | None:
    """(n,) int64: the number that differs in the names of a scan's slices, or of its masks."""
    names = names_of(members)
    if len({name.pattern for name in names}) > 1:
        return None
    volumes = volumes_of(names)
    (_, at), *others = volumes
    if others or at is None:
        return None
    return np.array([name.numbers[at] for name in names])
