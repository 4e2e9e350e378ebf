"""The stored values of a DICOM file's frames, decoded within bounds."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEGLSTransferSyntaxes, RLELossless

from ...errors import BrokenFile, NoDecoder, NotAScan
from ...sentences import say
from ..archive import Member
from ..budget import Budget
from ..limits import LIMITS
from .codestream import codestream_shape, is_cut
from .decoder import FrameDecoder
from .file import DAMAGE, read_dataset
from .slice import CtSlice

BYTES_PER_PIXEL = 4  # at most, in CT and in masks

MOST_RUNS = 1.25  # bytes for one; 1 + 1/128 where nothing repeats
RUNS_HEAD = 100_000  # bytes for offsets and the frames' headers

_apart = FrameDecoder()


def decode_with(decoder: FrameDecoder) -> None:
    """Makes another process decode what is compressed, from now on."""
    global _apart
    _apart = decoder


def each_decoded(slices: Sequence[CtSlice]) -> Iterator[tuple[int, np.ndarray | None]]:
    """The index and the stored values of all slices, file by file, each of which is read once.

    In the place of values (rows, columns) comes None where they are damaged.

    Raises:
        NoDecoder: no installed library reads this compression.
    """
    files: dict[Member, list[int]] = defaultdict(list)
    for index, one in enumerate(slices):
        files[one.member].append(index)
    for indices in files.values():
        left = iter(indices)
        try:
            for pixels in stored_values([slices[index] for index in indices]):
                yield next(left), pixels
        except BrokenFile:
            for index in left:
                yield index, None


def stored_values(slices: Sequence[CtSlice]) -> Iterator[np.ndarray]:
    """The stored values of slices of one file, each (rows, columns) of integers.

    Raises:
        NoDecoder: no installed library reads this compression.
        BrokenFile: the pixels are cut or contradict the header.
    """
    first = slices[0]
    size = math.prod(first.shape) * first.frames * BYTES_PER_PIXEL
    frames = [one.frame or 0 for one in slices]
    return decoded(read_dataset(first.member, size), frames, first.shape, first.member.budget)


def decoded(
    dataset: Dataset, frames: Sequence[int], shape: tuple[int, int], budget: Budget
) -> Iterator[np.ndarray]:
    """The frames asked for, each (rows, columns) of stored integers.

    Args:
        dataset: a whole file, as `file.read_dataset` gives it.
        frames: their indices.
        shape: the (rows, columns) that the scan has.
        budget: of the upload.

    Raises:
        NoDecoder: no installed library reads this compression.
        BrokenFile: the pixels are cut or contradict the header.
    """
    _check_decoder(dataset)
    try:
        if (dataset.get("Rows"), dataset.get("Columns")) != shape:
            raise broken_pixels()
        budget.spend("decoded_bytes", len(frames) * math.prod(shape) * 2)
        for pixels in _frames(dataset, frames, shape, budget):
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
    dataset: Dataset, frames: Sequence[int], shape: tuple[int, int], budget: Budget
) -> Iterator[np.ndarray]:
    """The frames asked for; compressed ones are decoded in a process of their own."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        _check_runs(dataset, shape)
        if dataset.BitsAllocated == 1:
            yield from _runs_of_bits(dataset, frames, shape)
            return
    bits = _Bits.of(dataset)
    if not syntax.is_encapsulated or syntax == RLELossless:  # by pydicom, in Python
        dataset.BitsStored = bits.allocated  # it would not know where they begin
        for pixels in iter_pixels(dataset, indices=list(frames), raw=True):
            yield bits.values(pixels)
        return
    if bits.high >= bits.stored:
        raise NotAScan(say("dicom.bits"))
    options = as_pixel_options(dataset, pixel_keyword="PixelData")
    compressed = _compressed(dataset, options, shape)
    options["number_of_frames"] = 1
    for frame in frames:
        if syntax in JPEGLSTransferSyntaxes and is_cut(compressed[frame]):
            raise broken_pixels()  # the decoder would hang
        try:
            pixels = _apart.decode(compressed[frame], syntax, options)
        except NoDecoder:
            budget.decoder_stops += 1
            if budget.decoder_stops > LIMITS.decoder_stops:
                raise
            raise broken_pixels() from None
        yield pixels


@dataclass(frozen=True)
class _Bits:
    """Which of a pixel's bits hold its value, as the header says."""

    allocated: int
    stored: int
    high: int
    signed: bool

    @classmethod
    def of(cls, dataset: Dataset) -> "_Bits":
        """Of a whole file."""
        allocated = int(dataset.BitsAllocated)
        stored = int(dataset.get("BitsStored") or allocated)
        high = dataset.get("HighBit")
        high = stored - 1 if high is None else int(high)
        if not 1 <= stored <= allocated or not 0 <= high < allocated:
            raise broken_pixels()
        return cls(allocated, stored, high, bool(dataset.get("PixelRepresentation")))

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """The values of whole pixels.

        Raises:
            NotAScan: the pixels contradict the header, so that there are two ways to read them.
        """
        if self.allocated not in (8, 16) or self.stored == self.allocated == self.high + 1:
            return pixels
        if self.high < self.stored - 1:  # the bits above may hold anything
            _check_bits(np.array_equal(self._lowest(pixels, self.high + 1), pixels))
            return self._lowest(pixels, self.stored)
        shift = self.high + 1 - self.stored
        low_bits = shift or self.allocated - self.stored
        below = bool((pixels & ((1 << low_bits) - 1)).any())
        right = self._lowest(pixels, self.stored)
        above = not np.array_equal(right, pixels)
        if shift:
            if below and not above:  # as values are mostly stored, whatever the header says
                return right
            _check_bits(not below and np.array_equal(self._lowest(pixels, self.high + 1), pixels))
            return self._lowest(pixels >> shift, self.stored)
        # Values that begin at the highest bit, whatever the header says, leave the lowest empty.
        _check_bits(below or not above or self._is_constant_above(pixels))
        return right

    def _lowest(self, pixels: np.ndarray, count: int) -> np.ndarray:
        """The lowest bits as numbers."""
        unused = self.allocated - count
        return (pixels << unused) >> unused

    def _is_constant_above(self, pixels: np.ndarray) -> bool:
        top = pixels >> self.stored
        return bool((top == top.flat[0]).all())


def _check_bits(good: bool) -> None:
    if not good:
        raise NotAScan(say("dicom.bits"))


def _runs_of_bits(
    dataset: Dataset, frames: Sequence[int], shape: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Single bits in runs, which pydicom refuses: one in each byte, else packed frame by frame."""
    count = int(dataset.get("NumberOfFrames") or 1)
    found = list(generate_frames(dataset.PixelData, number_of_frames=count))
    pixels = math.prod(shape)
    for frame in frames:
        try:
            values = _bytes_of_runs(found[frame], pixels)
        except RuntimeError:
            packed = _bytes_of_runs(found[frame], math.ceil(pixels / 8))
            values = np.unpackbits(packed, count=pixels, bitorder="little")
        yield values.reshape(shape)


def _bytes_of_runs(frame: bytes, count: int) -> np.ndarray:
    """The bytes of a frame in runs; RuntimeError where there are fewer."""
    options: dict[str, Any] = {
        "rows": 1,
        "columns": count,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "pixel_keyword": "PixelData",
    }
    values, _ = get_decoder(RLELossless).as_array(encapsulate([frame]), raw=True, **options)
    return values.ravel()


def _check_runs(dataset: Dataset, shape: tuple[int, int]) -> None:
    """BrokenFile for runs that no encoder makes: of single bytes, each of which takes its time."""
    pixel_bytes = math.ceil(int(dataset.BitsAllocated) / 8)
    plain = int(dataset.get("NumberOfFrames") or 1) * math.prod(shape) * pixel_bytes
    if len(dataset.PixelData) > MOST_RUNS * plain + RUNS_HEAD:
        raise broken_pixels()


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
