"""Which structures the segments of one file show: of DICOM SEG, of 3D Slicer, and RTSTRUCT ROIs.

A coded concept decides, and where it names no structure ("tissue") the label does. Of which organ a
tumor is, both may say. One segment without a name of its own is the liver.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..sentences import Sentence, say
from ..volume import LIVER, TUMOR
from .structure_names import LIVER_CODES, TUMOR_CODES, Said, said, structures_of

NO_NAME = re.compile(r"(segment|segmentation|mask|label|roi)?[ _-]*\d*")
UNNAMED = say("truth.unnamed")


class Segment(NamedTuple):
    """What a file says of one segment: its label, and coded concepts where it has them.

    Attributes:
        label: that a person or a program gave.
        code, meaning: of what it is.
        region_code, region: of where it is.
    """

    label: str
    code: str = ""
    meaning: str = ""
    region_code: str = ""
    region: str = ""


class Structures(NamedTuple):
    """What the segments of a file are.

    Attributes:
        of: LIVER, TUMOR or None for each segment.
        ignored: how many are something else.
        said: sentences about the names.
    """

    of: list[int | None]
    ignored: int
    said: tuple[Sentence, ...]


def structures_in(segments: Sequence[Segment], *, is_alone: bool = True) -> Structures:
    """The structures of one file's segments.

    Args:
        segments: all of the file.
        is_alone: whether there is no other file, so that one unnamed segment can be the liver.
    """
    found, contradicts = [], False
    for segment in segments:
        code, by_label = _coded(segment), said(segment.label)
        if code == Said.SOME_TUMOR:  # of what?
            code = by_label if by_label in (Said.OTHER, Said.TUMOR) else code
        contradicts = contradicts or {LIVER, TUMOR} <= {
            *structures_of([segment.label] * 2, [code, by_label])
        }
        found.append(by_label if code == Said.NOTHING else code)
    structures = structures_of([segment.label for segment in segments], found)
    if not any(structures) and is_alone and len(segments) == 1:
        label = segments[0].label.strip().lower()
        if NO_NAME.fullmatch(label):
            return Structures([LIVER], 0, (UNNAMED,))
    notices = (say("truth.code_over_label"),) if contradicts else ()
    return Structures(structures, sum(not one for one in structures), notices)


def _coded(segment: Segment) -> Said:
    """What a segment's coded concepts say, by their codes, else by their meanings."""
    region = said(segment.region)
    in_liver = segment.region_code in LIVER_CODES or region == Said.LIVER
    if segment.code in LIVER_CODES:
        return Said.LIVER
    found = said(segment.meaning)
    if segment.code in TUMOR_CODES and found != Said.TUMOR:
        found = Said.SOME_TUMOR
    if found == Said.SOME_TUMOR and segment.region:
        return Said.TUMOR if in_liver else Said.OTHER if region == Said.OTHER else found
    return found
