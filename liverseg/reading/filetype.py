"""What a file is, by its first bytes; names and extensions do not count."""

import gzip
import struct
import zlib

from .kinds import LeftOut, Readable

Kind = Readable | LeftOut

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Readable.PNG),
    (b"\xff\xd8\xff", Readable.JPEG),
    (b"NRRD", LeftOut.NRRD),
    (b"ObjectType", LeftOut.METAIMAGE),
    (b"II*\0", LeftOut.OTHER_PICTURE),  # TIFF
    (b"MM\0*", LeftOut.OTHER_PICTURE),
    (b"GIF8", LeftOut.OTHER_PICTURE),
    (b"BM", LeftOut.OTHER_PICTURE),  # Windows bitmap
    (b"RIFF", LeftOut.OTHER_PICTURE),  # WebP
    (b"\0\0\0\x0cjP  ", LeftOut.OTHER_PICTURE),  # JPEG 2000
    (b"Rar!", LeftOut.ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", LeftOut.ARCHIVE),
    (b"PK", LeftOut.ARCHIVE),  # deeper than archives are opened
    (b"\x1f\x8b", LeftOut.ARCHIVE),
    (b"BZh", LeftOut.ARCHIVE),
    (b"\xfd7zXZ", LeftOut.ARCHIVE),
)


def kind_of(head: bytes) -> Kind:
    """The kind of a file from its first few kilobytes."""
    if head[128:132] == b"DICM" or _is_bare_dicom(head):
        return Readable.DICOM
    unpacked = gunzipped(head) if head.startswith(b"\x1f\x8b") else head
    if _is_nifti(unpacked) and unpacked[128:132] != b"DICM":
        return Readable.NIFTI
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return LeftOut.ARCHIVE
    return LeftOut.OTHER_FILE if head else LeftOut.EMPTY_FILE


def gunzipped(head: bytes, count: int = 1024) -> bytes:
    """The first bytes of what a gzip stream holds; empty if it is damaged."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, count)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _is_nifti(head: bytes) -> bool:
    """NIfTI-1, NIfTI-2 or Analyze, of either byte order."""
    return len(head) >= 348 and any(
        struct.unpack_from(order + "i", head)[0] in (348, 540) for order in "<>"
    )


def _is_bare_dicom(head: bytes) -> bool:
    """DICOM without preamble: it begins with a tag of group 2 or 8."""
    if len(head) < 132:
        return False
    group, element = struct.unpack_from("<HH", head)
    if group not in (0x0002, 0x0008) or element > 0x0100:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or struct.unpack_from("<I", head, 4)[0] < 1024
