"""The stored values of a DICOM file's frames, decoded within bounds."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import RLELossless

from ...errors import BrokenFile, NoDecoder
from ...sentences import say
from .codestream import codestream_shape
from .decoder import FrameDecoder
from .file import DAMAGE, read_dataset
from .slice import CtSlice

BYTES_PER_PIXEL = 4  # at most, in CT and in masks

_APART = FrameDecoder()


def stored_values(slices: Sequence[CtSlice]) -> Iterator[np.ndarray]:
    """The stored values of slices of one file, each (rows, columns) of integers.

    Raises:
        NoDecoder: no installed library reads this compression.
        BrokenFile: the pixels are cut or contradict the header.
    """
    first = slices[0]
    size = math.prod(first.shape) * first.frames * BYTES_PER_PIXEL
    frames = [one.frame or 0 for one in slices]
    return decoded(read_dataset(first.member, size), frames, first.shape)


def decoded(
    dataset: Dataset, frames: Sequence[int], shape: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The frames asked for, each (rows, columns) of stored integers.

    Args:
        dataset: a whole file, as `file.read_dataset` gives it.
        frames: their indices.
        shape: the (rows, columns) that the scan has.

    Raises:
        NoDecoder: no installed library reads this compression.
        BrokenFile: the pixels are cut or contradict the header.
    """
    _check_decoder(dataset)
    try:
        if (dataset.get("Rows"), dataset.get("Columns")) != shape:
            raise broken_pixels()
        for pixels in _frames(dataset, frames, shape):
            if pixels.shape != shape:
                raise broken_pixels()
            yield pixels
    except DAMAGE:
        raise broken_pixels() from None


def broken_pixels() -> BrokenFile:
    """The refusal of a file whose pixels cannot be decoded."""
    return BrokenFile(say("dicom.damaged_pixels"))


def _check_decoder(dataset: Dataset) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except (NotImplementedError, KeyError, AttributeError):
        available = False
    if not available:
        name = syntax.name if syntax.name != str(syntax) else "an unknown method"
        raise NoDecoder(say("dicom.no_decoder", compression=name))


def _frames(
    dataset: Dataset, frames: Sequence[int], shape: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The frames asked for; compressed ones are decoded in a process of their own."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or syntax == RLELossless:  # by pydicom, in Python
        yield from iter_pixels(dataset, indices=list(frames), raw=True)
        return
    options = as_pixel_options(dataset, pixel_keyword="PixelData")
    compressed = _compressed(dataset, options, shape)
    options["number_of_frames"] = 1
    for frame in frames:
        yield _APART.decode(compressed[frame], syntax, options)


def _compressed(dataset: Dataset, options: dict, shape: tuple[int, int]) -> list[bytes]:
    """All frames; BrokenFile where one claims another size than the header."""
    found = generate_frames(
        dataset.PixelData,
        number_of_frames=int(options["number_of_frames"]),
        extended_offsets=options.pop("extended_offsets", None),
    )
    frames = list(found)
    if not all(codestream_shape(frame) in (None, (*shape, 1)) for frame in frames):
        raise broken_pixels()
    return frames
