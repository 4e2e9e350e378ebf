"""TIFF stacks: their pages as pictures, and what ImageJ says of their values and sizes.

Pillow, which reads the other pictures too, decodes; a file's pages are found here, so that each is
read at its own place and their number is known before.
"""

import io
import logging
import math
import re
import struct
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from ..errors import BrokenFile, NotAScan, TooLarge
from ..sentences import say
from ..volume import Spacing
from .archive import Member
from .limits import LIMITS

MAGIC = {b"II*\0": "<", b"MM\0*": ">"}
FIRST_PAGE = slice(4, 8)  # of a file: where its first page's directory lies
TIFF_BYTES = 500_000_000  # which stay in memory while pages are read
MOST_TAGS = 4096  # of one page
SUBFILE_TYPE, REDUCED = 254, 1  # a page that is a thumbnail of another
BITS, DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, SAMPLE_FORMAT = 258, 270, 282, 283, 339
SIGNED, FLOAT = 2, 3
STRAIGHT_LINE = "0"  # the function by which ImageJ calibrates values
MM = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "um": 0.001, "\\u00b5m": 0.001, "micron": 0.001}
FORMAT = TiffImagePlugin.TiffImageFile.format  # which Pillow finds because it was imported here
LONGEST_DESCRIPTION = 10_000  # letters that are looked at

warnings.filterwarnings("ignore", module=r"PIL\.")  # about what is in the file
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)


class Measured(NamedTuple):
    """What a page says of its values.

    Attributes:
        slope, intercept: from stored values to those that were measured.
        is_known: whether it says that they were measured: signed, fractions, or calibrated.
        is_signed_byte: whether its grays go from -128 to 127, which Pillow reads as unsigned.
        spacing: mm, where ImageJ gives it; z may be missing.
        images: of the whole stack, 0 where that is not said.
    """

    slope: float
    intercept: float
    is_known: bool
    is_signed_byte: bool
    spacing: Spacing | None
    images: int


def pages(member: Member) -> list[Member]:
    """The pages of a TIFF, each as a file of its own in a folder of the TIFF's name.

    Raises:
        TooLarge: more bytes or pages than a scan has.
        BrokenFile: the chain of pages is damaged.
    """
    content = member.read(min(TIFF_BYTES, LIMITS.file_bytes))
    try:
        starts = _page_starts(content)
    except (ValueError, struct.error):
        raise BrokenFile(say("picture.damaged")) from None
    member.budget.spend("frames", len(starts))
    if len(starts) == 1:
        return [member]
    folder = (*member.parts[:-1], member.parts[-1].split(".")[0])
    return [
        replace(
            member,
            parts=(*folder, f"{number:05d}"),
            size=math.ceil(len(content) / len(starts)),
            _open=_opener(content, start),
        )
        for number, start in enumerate(starts)
    ]


def _opener(content: bytes, start: int) -> Any:
    return lambda: io.BufferedReader(_Page(content, start))


class _Page(io.RawIOBase):
    """A TIFF that begins with another page than it does; its content is shared, not copied."""

    def __init__(self, content: bytes, start: int):
        order = MAGIC[content[:4]]
        self._head = content[:4] + struct.pack(order + "I", start)
        self._content, self._at = memoryview(content), 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        origin = (0, self._at, len(self._content))[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, target: Any) -> int:
        """See `io.RawIOBase`."""
        source = self._head if self._at < len(self._head) else self._content
        part = source[self._at : self._at + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)


def _page_starts(content: bytes) -> list[int]:
    """Where the directory of each page lies that is no thumbnail, in the order of their chain."""
    order = MAGIC[content[:4]]
    (start,) = struct.unpack(order + "I", content[FIRST_PAGE])
    found, seen = [], set()
    while start:
        if start in seen:
            raise ValueError
        seen.add(start)
        (count,) = struct.unpack_from(order + "H", content, start)
        if not 0 < count <= MOST_TAGS:
            raise ValueError
        is_reduced = False
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHII", content, entry)
            is_reduced = is_reduced or (tag == SUBFILE_TYPE and bool(value & REDUCED))
        if not is_reduced:
            found.append(start)
        if len(found) > LIMITS.files:
            raise TooLarge(say("archive.too_many_files", files=LIMITS.files))
        (start,) = struct.unpack_from(order + "I", content, start + 2 + 12 * count)
    if not found:
        raise ValueError
    return found


def measured(image: Image.Image) -> Measured:
    """What an opened TIFF says of its values, by its tags and by what ImageJ writes into one."""
    tags = _tags(image)
    said = str(tags.get(DESCRIPTION, ""))[:LONGEST_DESCRIPTION]
    fields = dict(re.findall(r"(?m)^(\w+)=(.*?)\s*$", said)) if said.startswith("ImageJ=") else {}
    slope, intercept = 1.0, 0.0
    is_calibrated = fields.get("cf") == STRAIGHT_LINE and {"c0", "c1"} <= set(fields)
    if is_calibrated:
        slope, intercept = float(fields["c1"]), float(fields["c0"])
    kind, bits = _first(image, SAMPLE_FORMAT), bits_of(image)
    is_known = is_calibrated or kind == FLOAT or (kind == SIGNED and bits > 8)
    if not math.isfinite(slope) or not math.isfinite(intercept) or not slope:
        raise ValueError
    is_signed_byte = bool(kind == SIGNED and bits == 8)
    spacing, images = _spacing(tags, fields), int(fields.get("images", 0))
    return Measured(slope, intercept, is_known, is_signed_byte, spacing, images)


def check_readable(image: Image.Image) -> None:
    """NotAScan for what Pillow would read wrongly: it exchanges the bytes of these twice."""
    if image.format != FORMAT or image.mode not in ("I", "F"):
        return
    is_packed = getattr(image, "_compression", "raw") != "raw"
    if is_packed and _tags(image).prefix == b"MM":
        raise NotAScan(say("picture.tiff_packed"))


def _spacing(tags: Any, fields: dict[str, str]) -> Spacing | None:
    """Of ImageJ's calibration; other programs write the resolution of printers here."""
    mm = MM.get(fields.get("unit", "").lower())
    if mm is None:
        return None
    x, y = (float(tags.get(tag, 0) or 0) for tag in (X_RESOLUTION, Y_RESOLUTION))
    z = float(fields.get("spacing", 0)) * mm
    sizes = [mm / count if count else 0.0 for count in (x, y)]
    if not all(math.isfinite(one) and one > 0 for one in sizes):
        return None
    return Spacing(z if math.isfinite(z) and z > 0 else None, sizes[1], sizes[0])


def bits_of(image: Image.Image) -> int:
    """Of a gray value as it is stored."""
    return _first(image, BITS) or 1


def _first(image: Image.Image, tag: int) -> int:
    """The first value of a tag; 0 where there is none."""
    return int(next(iter(_tags(image).get(tag, (0,)))))


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def values_of(image: Image.Image, known: Measured) -> np.ndarray:
    """(y, x) float32 of what was measured."""
    stored = np.asarray(image)
    if stored.ndim != 2:
        raise ValueError
    return stored.astype(np.float32) * np.float32(known.slope) + np.float32(known.intercept)
