"""NRRD headers: .nrrd, .nhdr with its voxels in another file, and 3D Slicer's .seg.nrrd.

The header is parsed here for the reasons that `metaimage` gives. The format is defined at
https://teem.sourceforge.net/nrrd/format.html, what Slicer adds to it in the manual of its module
Segmentations.
"""

import bz2
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..errors import NotAScan, TooLarge, TruthMismatch
from ..sentences import say
from ..volume import Form
from .alignment import others_ignored
from .archive import Member
from .detached import checked_name, open_data
from .segments import Segment, structures_in
from .stored import MOST_LAYERS, Inflated, Stored, check_announced, raw_slabs

FORMAT = "NRRD"
HEADER_BYTES = 1_000_000  # hundreds of named segments
SCANNER = 1
MOST_AXES = 16
MOST_SKIPPED = {"line skip": 10_000, "byte skip": 10_000_000}  # before another file's voxels
MOST_SEGMENTS = 1000
_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
TYPES = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
SPACES = {  # signs of x, y, z against RAS
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
MM = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "µm": 0.001, "micron": 0.001}
RAW, GZIP, BZIP2 = ("raw",), ("gzip", "gz"), ("bzip2", "bz2")
VECTOR = re.compile(r"none|\(([^()]*)\)")
SEGMENT = re.compile(r"Segment(\d{1,4})_(Name|LabelValue|Layer|Tags)")
TERMINOLOGY = "TerminologyEntry:"
KIND, REGION = 2, 5  # of a terminology entry's parts
NAME = "data file"
OTHER_NAMES = {"datafile": NAME, "lineskip": "line skip", "byteskip": "byte skip"}


@dataclass(frozen=True, eq=False)
class _Header:
    """A parsed header.

    Attributes:
        fields: by name.
        pairs: what programs add, by key.
        end: bytes, the empty line that ends it included.
    """

    fields: dict[str, str]
    pairs: dict[str, str]
    end: int


def open_nrrd(stream: IO[bytes], member: Member, max_voxels: int, opened: ExitStack) -> Stored:
    """See `stored.Open`."""
    header = _parsed(stream)
    fields = header.fields
    if NAME in fields:
        checked_name(fields[NAME], FORMAT)
    sizes = [int(one) for one in fields["sizes"].split()]
    if len(sizes) != int(fields["dimension"]) or len(sizes) > MOST_AXES or min(sizes) < 1:
        raise ValueError
    if fields["type"].lower() not in TYPES:
        raise NotAScan(say("volume_file.no_numbers", format=FORMAT))
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    dtype = np.dtype(order + TYPES[fields["type"].lower()])
    vectors = _vectors(fields)
    is_layered = len(sizes) == 4 and (
        vectors[:1] == [None] or fields.get("kinds", "").startswith("list")
    )
    layers = sizes[0] if is_layered else 1
    vectors = vectors[1:] if is_layered else vectors
    if None in vectors[:3]:
        raise NotAScan(say("volume_file.no_numbers", format=FORMAT))
    segments = _segments(header.pairs)
    if layers > 1 and not segments:
        raise NotAScan(say("volume_file.several_volumes", format=FORMAT, count=layers))
    if layers > MOST_LAYERS:
        raise TooLarge(say("volume_file.too_many_layers", count=layers, most=MOST_LAYERS))
    in_space = sizes[1:] if is_layered else sizes
    shape = check_announced(tuple(in_space), dtype, max_voxels // layers, FORMAT)
    encoding = fields["encoding"].lower()
    if encoding not in (*RAW, *GZIP, *BZIP2):
        raise NotAScan(say("volume_file.encoding", format=FORMAT))
    data, start = stream, header.end
    if NAME in fields:
        data, start = open_data(member, FORMAT, opened), 0
    lines, skipped = (int(fields.get(name, 0)) for name in MOST_SKIPPED)
    if skipped == -1 and encoding in RAW:  # the voxels are the file's end
        expected = layers * dtype.itemsize * int(np.prod(shape))
        start, lines, skipped = (member.data or member).size - expected, 0, 0
    for count, most in zip((lines, skipped), MOST_SKIPPED.values(), strict=True):
        if not 0 <= count <= most:
            raise ValueError

    def planes() -> Iterator[np.ndarray]:
        data.seek(start)
        for _ in range(lines):
            data.readline(HEADER_BYTES)
        source: Any = data
        if encoding in GZIP:
            source = io.BufferedReader(Inflated(data))
        elif encoding in BZIP2:
            source = bz2.BZ2File(source)
        source.read(skipped)
        return raw_slabs(source, shape, dtype, layers)

    def slabs() -> Iterator[np.ndarray]:
        for plane in planes():
            yield plane[0].astype(np.float32)

    form = _form(fields, vectors)
    stored = Stored(shape, layers * dtype.itemsize, slabs, (form, None), _sizes_mm(fields, form))
    return _with_names(stored, segments, layers, planes) if segments else stored


def data_name(stream: IO[bytes]) -> str | None:
    """The name of the file of voxels; None where they are in the header's own."""
    fields = _parsed(stream).fields
    return checked_name(fields[NAME], FORMAT) if NAME in fields else None


def _parsed(stream: IO[bytes]) -> _Header:
    head = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    at = head.index(b"\n") + 1  # the format's name
    while at < len(head):
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        line = head[at:end].rstrip(b"\r").decode("utf-8", errors="replace")
        at = end + 1
        if not line:
            return _Header(fields, pairs, at)
        key, is_pair, value = line.partition(":=")
        if line.startswith("#"):
            continue
        if is_pair and ": " not in key:
            pairs[key] = value
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError
        name = name.strip().lower()
        fields[OTHER_NAMES.get(name, name)] = value.strip()
        if fields.get(NAME, "").split()[:1] == ["LIST"]:  # the names of files follow
            return _Header(fields, pairs, at)
    if len(head) == HEADER_BYTES or NAME not in fields:
        raise ValueError
    return _Header(fields, pairs, at)  # a header in a file of its own may end with the file


def _vectors(fields: dict[str, str]) -> list[list[float] | None]:
    """The steps along each axis, None for one that leads nowhere in space."""
    return [
        None if found[0] == "none" else _numbers(found[1])
        for found in VECTOR.finditer(fields.get("space directions", ""))
    ]


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


def _form(fields: dict[str, str], vectors: list[list[float] | None]) -> Form | None:
    """The place; None where the header gives none in a space that is known."""
    space = fields.get("space", "").lower().removesuffix("-time").removesuffix("t")
    steps = [one for one in vectors if one is not None]
    if space not in SPACES or not 2 <= len(steps) <= 3 or any(len(one) != 3 for one in steps):
        return None
    affine = np.eye(4)
    affine[:3, : len(steps)] = np.array(steps).T
    if len(steps) == 2:  # one slice
        normal = np.cross(steps[0], steps[1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    origin = VECTOR.search(fields.get("space origin", ""))
    if origin and origin[1]:
        numbers = _numbers(origin[1])
        if len(numbers) != 3:
            raise ValueError
        affine[:3, 3] = numbers
    if not np.isfinite(affine).all():
        return None
    units = re.findall('"([^"]*)"', fields.get("space units", ""))
    factors = [MM.get(one.strip().lower(), 1.0) for one in units[:3]]
    scale = np.diag([*(factors + [1.0] * 3)[:3], 1.0])
    return Form(SCANNER, np.diag([*SPACES[space], 1.0]) @ scale @ affine)


def _sizes_mm(fields: dict[str, str], form: Form | None) -> np.ndarray:
    """(3,) of a voxel, 0 where it is not said."""
    if form:
        return np.linalg.norm(form.affine[:3, :3], axis=0)
    vectors = [one for one in _vectors(fields) if one is not None]
    if vectors:
        said = [float(np.linalg.norm(one)) for one in vectors]
    else:
        said = [abs(float(one)) for one in fields.get("spacings", "").split()][-3:]
    return np.array((said + [0.0] * 3)[:3])


def _segments(pairs: dict[str, str]) -> list[tuple[int, int, Segment]]:
    """Layer, value and names of each of Slicer's segments."""
    found: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if part := SEGMENT.fullmatch(key):
            found.setdefault(int(part[1]), {})[part[2]] = value
    if len(found) > MOST_SEGMENTS:
        raise ValueError
    return [
        (int(one.get("Layer", number)), int(one.get("LabelValue", 1)), _segment(one))
        for number, one in sorted(found.items())
        if "Name" in one
    ]


def _segment(said: dict[str, str]) -> Segment:
    """A segment's name, and its terminology: what it is and where, each scheme^code^meaning."""
    for tag in said.get("Tags", "").split("|"):
        if tag.startswith(TERMINOLOGY):
            parts = [(*part.split("^"), "", "", "") for part in tag.split("~")]
            kind, region = ((*parts, *[("", "", "")] * 7)[index] for index in (KIND, REGION))
            return Segment(said["Name"], kind[1], kind[2], region[1], region[2])
    return Segment(said["Name"])


def _with_names(
    stored: Stored, segments: list[tuple[int, int, Segment]], layers: int, planes: Any
) -> Stored:
    """A volume whose segments are labels by their names."""
    structures = structures_in([segment for *_, segment in segments])
    named = [
        (layer, value, structure)
        for (layer, value, _), structure in zip(segments, structures.of, strict=True)
        if structure and 0 <= layer < layers
    ]

    def labels() -> Iterator[np.ndarray]:
        if not named:
            raise TruthMismatch(say("truth.seg_without_liver"))
        for plane in planes():
            found = np.zeros(plane.shape[1:], np.uint8)
            for layer, value, structure in named:
                here = np.where(plane[layer] == value, np.uint8(structure), np.uint8(0))
                np.maximum(found, here, out=found)
            yield found

    said = (*structures.said, *others_ignored(structures.ignored))
    return Stored(
        stored.shape,
        stored.itemsize,
        stored.slabs,
        stored.forms,
        stored.sizes_mm,
        labels=labels,
        said=said,
    )
