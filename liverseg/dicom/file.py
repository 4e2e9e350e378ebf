"""One DICOM file, parsed within bounds.

pydicom's own messages and warnings quote header values, so they are silenced here and never passed
on: a damaged file is BrokenFile, whatever was wrong with it.
"""

import logging
import struct
import warnings
import zlib
from io import BytesIO

import gdcm
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ..archive import Member
from ..errors import BrokenFile, TooLarge
from ..limits import LIMITS

HEAD_BYTES = 64 * 1024  # holds the header of nearly every CT slice

# What pydicom raises on damaged bytes, when parsing and when a value is first looked at.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
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

_FIRST_PIXEL_TAG = 0x7FE00008  # float, double and integer pixel data follow
_DEFLATED = b"1.2.840.10008.1.2.1.99"

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()


def read_header(member: Member, head: bytes) -> tuple[Dataset, bool]:
    """A file's dataset without its pixels, and whether pixels follow.

    Args:
        member: the file.
        head: its first HEAD_BYTES; only longer headers are read again.
    """
    dataset, has_pixels = _parse_header(head)
    if not has_pixels and member.size > len(head):
        dataset, has_pixels = _parse_header(member.head(LIMITS.header_bytes))
    return dataset, has_pixels


def read_dataset(member: Member) -> Dataset:
    """A whole file, ready to be decoded."""
    try:
        dataset = pydicom.dcmread(BytesIO(_inflated(member.read())), force=True)
    except DAMAGE:
        raise _broken() from None
    if "TransferSyntaxUID" not in dataset.file_meta:  # written without file meta information
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )
    return dataset


def _parse_header(content: bytes) -> tuple[Dataset, bool]:
    reached_pixels = False

    def stop_when(tag, vr, length) -> bool:
        nonlocal reached_pixels
        reached_pixels = tag >= _FIRST_PIXEL_TAG
        return reached_pixels

    try:
        stream = BytesIO(_inflated(content, cut=True))
        return read_partial(stream, stop_when=stop_when, force=True), reached_pixels
    except DAMAGE:
        raise _broken() from None


def _inflated(content: bytes, cut: bool = False) -> bytes:
    """A deflated file as an explicit little endian one; others as they are.

    pydicom inflates such a file without a bound before it reads anything, so it must not see one.

    Args:
        content: the file, or its beginning.
        cut: whether it may be only the beginning.
    """
    if _DEFLATED not in content[: LIMITS.header_bytes]:
        return content
    end = 144 + struct.unpack_from("<I", content, 140)[0]  # of the file meta information
    meta = content[:end]
    if _DEFLATED not in meta:
        raise _broken()
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(content[end:], HEAD_BYTES if cut else LIMITS.inflated_bytes)
    except zlib.error:
        raise _broken() from None
    if not cut and inflater.unconsumed_tail:
        raise TooLarge("A compressed DICOM file unpacks to far more than a CT slice holds.")
    return meta.replace(_DEFLATED, ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")) + (
        plain
    )


def _broken() -> BrokenFile:
    return BrokenFile("A DICOM file is cut or damaged. Export it again.")
