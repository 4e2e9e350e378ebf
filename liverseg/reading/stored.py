"""A volume as its file's header announces it, whatever the format, before a voxel is read.

Each format's own module parses the header, within bounds, and hands over a `Stored`; what its
values mean and where they lie is decided in `volume_file`, once for all of them.
"""

import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import numpy as np

from ..errors import NotAScan, TooLarge
from ..sentences import Sentence, say
from ..volume import Form
from .archive import Member
from .kinds import Readable
from .limits import LIMITS

GZIP_MAGIC = b"\x1f\x8b"
MOST_LAYERS = 16  # of a segmentation whose segments overlap
FORMATS = {
    Readable.NIFTI: "NIfTI",
    Readable.NRRD: "NRRD",
    Readable.METAIMAGE: "MetaImage",
    Readable.MGH: "MGH",
}


@dataclass(frozen=True, eq=False)
class Stored:
    """What a header says, checked against the limits.

    Attributes:
        shape: (i, j, k) of the stored array, the first changing fastest.
        itemsize: bytes of a voxel, of all its layers together.
        slabs: reads the file once: (i, j) float32 or uint8 for each k.
        forms: the places that the header gives, the one that counts first; both None where there
            are none.
        sizes_mm: (3,) of a voxel; 0 where the header does not say.
        guess: axis codes that programs assume where there is no form.
        labels: for a segmentation whose header names its segments, what its slabs hold instead of
            values: reads the file once as well.
        said: sentences about these.
    """

    shape: tuple[int, int, int]
    itemsize: int
    slabs: Callable[[], Iterator[np.ndarray]]
    forms: tuple[Form | None, Form | None] = (None, None)
    sizes_mm: np.ndarray = field(default_factory=lambda: np.zeros(3))
    guess: tuple[str, str, str] = ("L", "P", "S")
    labels: Callable[[], Iterator[np.ndarray]] | None = None
    said: tuple[Sentence, ...] = ()

    @property
    def voxels(self) -> int:
        """How many."""
        return math.prod(self.shape)


class Open(Protocol):
    """Reads a header from a stream that stands at its beginning.

    Args:
        stream: of the file, unpacked.
        member: the file.
        max_voxels: more are TooLarge.
        opened: closes what else is opened.
    """

    def __call__(
        self, stream: IO[bytes], member: Member, max_voxels: int, opened: ExitStack
    ) -> Stored:
        """The header, checked; nothing else of the file is read."""


def check_announced(
    shape: tuple[int, ...], dtype: np.dtype, max_voxels: int, format: str
) -> tuple[int, int, int]:
    """The three sizes of a header's array; refuses what is too much or no volume of numbers.

    Args:
        shape: any number of axes, as stored; those behind the third have to be 1.
        dtype: of a voxel.
        max_voxels: more are TooLarge.
        format: for the sentences.

    Raises:
        ValueError: a header that makes no sense.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError
    if len(shape) > 3 and max(shape[3:]) > 1:
        raise NotAScan(say("volume_file.several_volumes", format=format, count=max(shape[3:])))
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise NotAScan(say("volume_file.no_numbers", format=format))
    if math.prod(map(int, shape)) > max_voxels or max(shape) > LIMITS.side:
        sizes = " × ".join(map(str, shape))
        limits = LIMITS.sentence
        raise TooLarge(say("volume_file.too_large", format=format, shape=sizes, limits=limits))
    i, j, k = (*map(int, shape), 1)[:3]
    return i, j, k


def raw_slabs(
    stream: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype, layers: int = 1
) -> Iterator[np.ndarray]:
    """Uncompressed voxels from where a stream stands: (layers, i, j) for each k, in Fortran order.

    Raises:
        EOFError: there are fewer than announced.
    """
    i, j, k = shape
    count = layers * i * j * dtype.itemsize
    for _ in range(k):
        content = stream.read(count)
        if len(content) < count:
            raise EOFError
        yield np.frombuffer(content, dtype).reshape((layers, i, j), order="F")


def gunzipped_stream(stream: IO[bytes]) -> IO[bytes]:
    """A stream from its beginning, unpacked where it is gzip, or gzip in gzip as browsers make."""
    for _ in range(2):
        stream.seek(0)
        if stream.read(2) != GZIP_MAGIC:
            break
        stream.seek(0)
        unpacked: Any = gzip.GzipFile(fileobj=stream, mode="rb")
        stream = unpacked
    stream.seek(0)
    return stream


class Inflated(io.RawIOBase):
    """What a zlib or gzip stream holds, from where it stands; it is read once, forwards."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._inflater = stream, zlib.decompressobj(wbits=47)  # either of the two

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, target: Any) -> int:
        """See `io.RawIOBase`."""
        found = b""
        while not found and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._stream.read(io.DEFAULT_BUFFER_SIZE)
            if not packed:
                raise EOFError
            found = self._inflater.decompress(packed, len(target))
        target[: len(found)] = found
        return len(found)
