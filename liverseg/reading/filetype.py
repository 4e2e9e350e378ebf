"""What a file is, by its first bytes; names and extensions do not count."""

import gzip
import struct
import zlib
from collections.abc import Callable

from .kinds import LeftOut, Readable

Kind = Readable | LeftOut

UNPACKED_BYTES = 16_384  # of a packed file that are looked at

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Readable.PNG),
    (b"\xff\xd8\xff", Readable.JPEG),
    (b"II*\0", Readable.TIFF),
    (b"MM\0*", Readable.TIFF),
    (b"II+\0", LeftOut.OTHER_PICTURE),  # TIFF for files above 4 GB
    (b"MM\0+", LeftOut.OTHER_PICTURE),
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
    unpacked = head
    for _ in range(2):  # a browser may have packed what was packed
        if unpacked.startswith(b"\x1f\x8b"):
            unpacked = gunzipped(unpacked, UNPACKED_BYTES)
    if unpacked[128:132] != b"DICM":
        for is_one, kind in _VOLUME_FILES:
            if is_one(unpacked):
                return kind
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return LeftOut.ARCHIVE
    return LeftOut.OTHER_FILE if head else LeftOut.EMPTY_FILE


def gunzipped(head: bytes, count: int) -> bytes:
    """The first bytes of what a gzip stream holds; empty if it is damaged."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, count)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _is_mgh(head: bytes) -> bool:
    """FreeSurfer's: a version, four sizes, a type of voxels, degrees of freedom; a flag."""
    if len(head) < 284:
        return False
    version, *sizes, type_, _ = struct.unpack_from(">7i", head)
    return version == 1 and all(0 < n < 1 << 20 for n in sizes) and type_ in (0, 1, 3, 4, 10)


def _is_metaimage(head: bytes) -> bool:
    """Text of the form "name = value" that begins as MetaIO has it."""
    name, equals, _ = head[:100].partition(b"=")
    return bool(equals) and name.strip() in (b"ObjectType", b"NDims", b"Comment")


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


_VOLUME_FILES: tuple[tuple[Callable[[bytes], bool], Kind], ...] = (
    (_is_nifti, Readable.NIFTI),
    (lambda head: head.startswith(b"NRRD000"), Readable.NRRD),
    (_is_metaimage, Readable.METAIMAGE),
    (_is_mgh, Readable.MGH),
)
