"""The size that a compressed image gives itself, read before anything is decoded.

A few hundred bytes of JPEG 2000 can claim to be 60000×60000; decoders believe them.
"""

import struct

J2K_START = b"\xff\x4f\xff\x51"  # start of codestream, size marker
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # JPEG markers that stand alone
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # F7 is JPEG-LS


def codestream_shape(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG, JPEG-LS or JPEG 2000 frame; None if not one."""
    try:
        if frame.startswith(b"\xff\xd8"):
            return _jpeg_shape(frame)
        start = frame.find(J2K_START, 0, 4096)  # a JP2 file's boxes may come first
        return _j2k_shape(frame, start) if start >= 0 else None
    except struct.error:
        return None


def is_cut(frame: bytes) -> bool:
    """Whether a JPEG or JPEG-LS frame lacks its end; one byte may follow to make it even."""
    return b"\xff\xd9" not in frame[-4:]


def _j2k_shape(frame: bytes, start: int) -> tuple[int, int, int]:
    width, height, left, top = struct.unpack_from(">4I", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return height - top, width - left, components


def _jpeg_shape(frame: bytes) -> tuple[int, int, int] | None:
    at = 2
    while True:
        mark, code = struct.unpack_from(">BB", frame, at)
        if mark != 0xFF:
            return None
        if code == 0xFF:  # fill byte
            at += 1
        elif code in NO_LENGTH:
            at += 2
        elif code in FRAME_HEADERS:
            rows, columns, components = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, components
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
