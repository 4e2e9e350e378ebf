"""One DICOM file, parsed within bounds.

pydicom's own messages and warnings quote header values, so they are silenced here and never passed
on: a damaged file is BrokenFile, whatever was wrong with it.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO

import gdcm
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ...errors import BrokenFile, TooLarge
from ...sentences import say
from ..archive import Member
from ..budget import Budget
from ..limits import LIMITS

HEAD_BYTES = 64 * 1024  # holds the header of nearly every CT slice

# What pydicom raises on damaged bytes, when parsing and when a value is first looked at.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

# What some anonymizers and old writers leave out, as image_slice takes it.
MEANT = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}

MAX_READS = 400_000  # an enhanced CT of 1000 frames takes 100 000
MAX_ITEMS = 200_000  # of sequences; an enhanced CT has about 20 a frame

_FIRST_PIXEL_TAG, _PIXEL_TAG = 0x7FE00008, 0x7FE00010  # float and double pixels come first
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_ITEM = b"\xfe\xff\x00\xe0"

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()


READS_PER_ELEMENT = 2


class _Bounded(BytesIO):
    """A file of which only so many pieces are read; a header of tiny elements takes minutes."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise ValueError("too many elements")
        return super().read(size)


def read_header(member: Member, head: bytes) -> tuple[Dataset, bool]:
    """A file's dataset without its pixels, and whether pixels follow.

    Args:
        member: the file.
        head: its first HEAD_BYTES; only longer headers are read again.
    """
    is_all = member.size <= len(head) and _DEFLATED not in head
    try:
        dataset, has_pixels = _parsed_header(head, HEAD_BYTES, member.budget)
        if has_pixels or is_all:
            return dataset, has_pixels
    except BrokenFile:  # perhaps only cut
        if is_all:
            raise
    return _parsed_header(member.head(LIMITS.header_bytes), LIMITS.header_bytes, member.budget)


def read_dataset(member: Member, pixel_bytes: int) -> Dataset:
    """A file with its pixels, ready to be decoded.

    Args:
        member: the file.
        pixel_bytes: of its pixels when decoded; compression may double them, not more.
    """
    limit = min(LIMITS.file_bytes, LIMITS.header_bytes + 2 * pixel_bytes)
    content = _plain(member.read(limit), limit, member.budget)
    dataset, _ = _parsed(_Bounded(content), lambda tag: tag > _PIXEL_TAG)
    try:
        if "TransferSyntaxUID" not in dataset.file_meta:  # written without file meta information
            implicit, _ = dataset.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        UID(dataset.file_meta.TransferSyntaxUID)
        bits = dataset.get("BitsAllocated") or 16
        for keyword, value in (MEANT | {"BitsAllocated": bits, "BitsStored": bits}).items():
            if dataset.get(keyword) in (None, ""):
                setattr(dataset, keyword, value)
    except DAMAGE:
        raise _broken() from None
    return dataset


def _parsed_header(content: bytes, limit: int, budget: Budget) -> tuple[Dataset, bool]:
    content = _plain(content, limit, budget, cut=True)
    if content.count(_ITEM) > MAX_ITEMS:
        raise _broken()
    bounded = _Bounded(content)
    try:
        return _parsed(bounded, lambda tag: tag >= _FIRST_PIXEL_TAG)
    finally:
        budget.spend("elements", bounded.reads // READS_PER_ELEMENT)


def _parsed(content: _Bounded, is_end: Callable[[int], bool]) -> tuple[Dataset, bool]:
    """A dataset up to the first tag for which `is_end`, and whether there was one."""
    ended = False

    def stop_when(tag: int, vr: str | None, length: int) -> bool:
        nonlocal ended
        ended = is_end(tag)
        return ended

    try:
        return read_partial(content, stop_when=stop_when, force=True), ended
    except DAMAGE:
        raise _broken() from None


def _plain(content: bytes, limit: int, budget: Budget, cut: bool = False) -> bytes:
    """A deflated file as an explicit little endian one of at most `limit` bytes; others as is.

    pydicom inflates such a file without a bound before it reads anything, so it must not see one.

    Args:
        content: the file, or its beginning.
        limit: bytes after inflating.
        budget: of the upload.
        cut: whether more than that is cut off instead of refused.
    """
    if _DEFLATED not in content[:HEAD_BYTES]:
        return content
    try:
        end = 144 + struct.unpack_from("<I", content, 140)[0]  # of the file meta information
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        plain = inflater.decompress(content[end:], limit)
    except (struct.error, zlib.error):
        raise _broken() from None
    budget.spend("decoded_bytes", len(plain))
    if _DEFLATED not in content[:end]:
        raise _broken()
    if not cut and inflater.unconsumed_tail:
        raise TooLarge(say("dicom.file_unpacks_too_large"))
    explicit = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")
    return content[:end].replace(_DEFLATED, explicit) + plain


def _broken() -> BrokenFile:
    return BrokenFile(say("dicom.damaged_file"))
