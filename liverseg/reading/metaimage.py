"""MetaImage headers, ITK's format: .mha, and .mhd with its voxels in another file.

The header is parsed here, because SimpleITK opens whatever path it finds there and reads paths
only, while uploads also come in archives and the process that reads them may write no file. What it
makes of the same files, tests compare.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import numpy as np

from ..errors import NotAScan
from ..sentences import say
from ..volume import LPS_TO_RAS, Form
from .archive import Member
from .detached import checked_name, open_data
from .stored import Inflated, Stored, check_announced, raw_slabs

FORMAT = "MetaImage"
HEADER_BYTES = 65_536
SCANNER = 1
LOCAL = "LOCAL"  # the voxels follow the header
MOST_AXES = 10
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # as MetaIO has it, on every system
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
ORIGIN = ("Offset", "Position", "Origin")
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")


def open_metaimage(stream: IO[bytes], member: Member, max_voxels: int, opened: ExitStack) -> Stored:
    """See `stored.Open`."""
    fields, end = _parsed(stream)
    axes = int(fields["NDims"])
    sizes = tuple(int(one) for one in fields["DimSize"].split())
    if not 2 <= axes <= MOST_AXES or len(sizes) != axes:
        raise ValueError
    if int(fields.get("ElementNumberOfChannels", 1)) != 1 or fields["ElementType"] not in TYPES:
        raise NotAScan(say("volume_file.no_numbers", format=FORMAT))
    if not _is_true(fields.get("BinaryData", "True")):
        raise NotAScan(say("volume_file.encoding", format=FORMAT))
    is_big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    dtype = np.dtype((">" if _is_true(is_big) else "<") + TYPES[fields["ElementType"]])
    shape = check_announced(sizes, dtype, max_voxels, FORMAT)
    data = stream
    if fields["ElementDataFile"] != LOCAL:
        checked_name(fields["ElementDataFile"], FORMAT)
        data, end = open_data(member, FORMAT, opened), 0
    is_packed = _is_true(fields.get("CompressedData", "False"))
    skipped = int(fields.get("HeaderSize", 0))
    if skipped < 0:  # the voxels are the file's end
        end = (member.data or member).size - dtype.itemsize * int(np.prod(shape))
    elif data is not stream:
        end = skipped

    def slabs() -> Iterator[np.ndarray]:
        data.seek(end)
        source = io.BufferedReader(Inflated(data)) if is_packed else data
        for slab in raw_slabs(source, shape, dtype):
            yield slab[0].astype(np.float32)

    spacing = _numbers(fields, ("ElementSpacing",), axes)
    form = _form(fields, spacing, axes)
    known = np.zeros(3) if spacing is None else np.abs((*spacing, *[0.0] * 3)[:3])
    return Stored(shape, dtype.itemsize, slabs, (form, None), known)


def data_name(stream: IO[bytes]) -> str | None:
    """The name of the file of voxels; None where they are in the header's own."""
    fields, _ = _parsed(stream)
    name = fields["ElementDataFile"]
    return None if name == LOCAL else checked_name(name, FORMAT)


def _parsed(stream: IO[bytes]) -> tuple[dict[str, str], int]:
    """Values by name, and where the header ends: after the name of the file of voxels."""
    head = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        name, equals, value = head[at:end].decode("latin-1").partition("=")
        if not equals and name.strip():
            raise ValueError
        fields[name.strip()] = value.strip()
        if end >= len(head) and "ElementDataFile" not in fields:
            raise ValueError
        at = end + 1
    return fields, at


def _form(fields: dict[str, str], spacing: np.ndarray | None, axes: int) -> Form | None:
    """The place; None where the header gives no size of voxels, or of one slice in a plane."""
    if axes < 3 or spacing is None or not np.isfinite(spacing).all():
        return None
    origin = _numbers(fields, ORIGIN, axes)
    directions = _numbers(fields, DIRECTIONS, axes * axes)
    affine = np.eye(4)
    if directions is not None:  # one axis after the other
        affine[:3, :3] = directions.reshape(axes, axes).T[:3, :3]
    affine[:3, :3] *= spacing[:3]
    if origin is not None:
        affine[:3, 3] = origin[:3]
    return Form(SCANNER, LPS_TO_RAS @ affine)


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int) -> np.ndarray | None:
    """The numbers of the first of several fields that is there; None without one."""
    for name in names:
        if name in fields:
            found = np.array([float(one) for one in fields[name].split()])
            if len(found) != count:
                raise ValueError
            return found
    return None


def _is_true(value: str) -> bool:
    return value[:1].upper() in ("T", "Y", "1")
