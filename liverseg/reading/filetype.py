"""What a file is, by its first bytes; names and extensions do not count."""

import gzip
import struct
import zlib
from typing import Literal

Kind = Literal[
    "dicom",
    "nifti",
    "png",
    "jpeg",
    "MetaImage file",
    "NRRD file",
    "picture of another format",
    "archive",
    "empty file",
    "other file",
]

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"NRRD", "NRRD file"),
    (b"ObjectType", "MetaImage file"),
    (b"II*\0", "picture of another format"),  # TIFF
    (b"MM\0*", "picture of another format"),
    (b"GIF8", "picture of another format"),
    (b"BM", "picture of another format"),  # Windows bitmap
    (b"RIFF", "picture of another format"),  # WebP
    (b"\0\0\0\x0cjP  ", "picture of another format"),  # JPEG 2000
    (b"Rar!", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"PK", "archive"),  # deeper than archives are opened
    (b"\x1f\x8b", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ", "archive"),
)


def kind_of(head: bytes) -> Kind:
    """The kind of a file from its first few kilobytes."""
    if head[128:132] == b"DICM" or _is_bare_dicom(head):
        return "dicom"
    unpacked = gunzipped(head) if head.startswith(b"\x1f\x8b") else head
    if _is_nifti(unpacked) and unpacked[128:132] != b"DICM":
        return "nifti"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "archive"
    return "other file" if head else "empty file"


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
