"""PNG, JPEG and TIFF: slices that were windowed before they were saved, and masks.

A picture's gray values are no Hounsfield units and its pixels have no size; both are said. Only a
TIFF may hold what was measured, and its sizes.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

import numpy as np
from PIL import Image

from ..errors import BrokenFile, NotAScan, TooLarge
from ..sentences import say
from ..volume import Source, Volume
from .alignment import few_values
from .archive import BIG, Member, natural_key
from .file_names import slice_numbers
from .hounsfield import Tally, check_offset, check_range, clipped, looks_like_labels
from .limits import LIMITS
from .tiff import FORMAT as TIFF
from .tiff import Measured, bits_of, check_readable, measured, values_of

# What black and white are assumed to mean: of a liver window's pictures this finds the liver, of an
# abdomen window's as well as their own would.
PICTURE_WINDOW_HU = (-40, 160)
COLORED = 32  # difference of the channels from which a pixel has a color
MOSTLY = 0.5  # share of colored pixels from which a picture is no CT slice
MASK_SHARE = 0.95  # of a mask's pixels are black or white, even after JPEG
NEAR = 12  # gray values around black and white that JPEG makes of them
MASK_VALUES = 3  # distinct grays a mask may have
LABEL_VALUES = 12  # and masks of several organs; a slice has dozens
HARDLY = 0.002  # share of colored pixels from which something is drawn over a slice
LEAST_BLACK = 0.2  # of a mask is background
NO_NOISE = 0.5  # share of neighbors that differ by at most 1
LEAST_WHITE = 0.8  # of what is not black, in a mask of one structure
DEPTH_AT = 24  # byte of a PNG that says its bits
GRAY_STEPS = {2: 85, 4: 17}  # which Pillow makes of the steps of so many bits
BAND = 2**20  # pixels that are looked at together, so that no step multiplies a picture's size
NEXT_SCAN = b"\xff\xda"  # in a JPEG only where another pass over its pixels begins
WHOLE_RANGE_16 = (8192, 32768)  # grays of 16-bit pictures must begin below and end above

_DAMAGED = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,  # what Pillow raises on a broken PNG
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class Shows(Enum):
    """What a picture shows, as far as it tells by itself."""

    GRAYS = auto()
    COLORS = auto()
    MASK = auto()
    NOTHING = auto()  # one gray


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (y, x) uint8 or uint16 gray, or (y, x, 3) uint8 colors; transparent is black.
        gray_step: what one step of a gray PNG of 2 or 4 bits became, else 1.
        palette: the colors of the indices that the pixels are, where they were asked for;
            transparent is black.
    """

    pixels: np.ndarray
    gray_step: int = 1
    palette: tuple[tuple[int, int, int], ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self.pixels.shape[:2]

    @cached_property
    def gray(self) -> np.ndarray:
        """(y, x) uint8."""
        if self.pixels.dtype == np.uint8 and self.pixels.ndim == 2:
            return self.pixels
        gray = np.empty(self.shape, np.uint8)
        for rows in _bands(self.pixels):
            band = self.pixels[rows]
            if band.ndim == 3:
                gray[rows] = np.rint(band @ np.array([0.299, 0.587, 0.114]))
            else:
                gray[rows] = band >> 8
        return gray

    @property
    def colored(self) -> float:
        """The share of pixels that have a color."""
        if self.pixels.ndim == 2:
            return 0.0
        colored = (np.ptp(self.pixels[rows], axis=2) > COLORED for rows in _bands(self.pixels))
        return sum(map(np.count_nonzero, colored)) / math.prod(self.shape)

    @cached_property
    def counts(self) -> np.ndarray:
        """(256,) how many pixels have each gray."""
        counts = np.zeros(256, int)
        for rows in _bands(self.gray):
            counts += np.bincount(self.gray[rows].ravel(), minlength=256)
        return counts

    @property
    def looks_like_mask(self) -> bool:
        """Whether there are few values, or nearly all are black or as bright as the brightest."""
        if self.pixels.dtype == np.uint16:
            return self.shows != Shows.GRAYS
        counts = self.counts
        values = np.flatnonzero(counts)
        if len(values) <= MASK_VALUES:
            return True
        ends = (values <= NEAR) | (values >= values[-1] - NEAR)
        return bool(counts[values[ends]].sum() >= MASK_SHARE * counts.sum())

    @property
    def shows(self) -> Shows:
        """A mask only where no slice looks like that, however narrow its window is."""
        if self.pixels.dtype == np.uint16:
            count = len(few_values(self.pixels, MASK_VALUES))
            few = Shows.NOTHING if count == 1 else Shows.MASK
            return few if count <= MASK_VALUES else Shows.GRAYS
        values = np.flatnonzero(self.counts)
        if len(values) == 1:
            return Shows.NOTHING
        if len(values) <= LABEL_VALUES or self._has_two_levels:
            return Shows.MASK
        return Shows.COLORS if self.colored > HARDLY else Shows.GRAYS

    @property
    def _has_two_levels(self) -> bool:
        """Whether what is not black is white, but for the edges that JPEG or smoothing made."""
        counts = self.counts.copy()
        if counts[: NEAR + 1].sum() < LEAST_BLACK * counts.sum():
            return False
        counts[: NEAR + 1] = 0
        values = np.flatnonzero(counts)
        if not values.size or values[-1] <= 2 * NEAR:
            return False
        near_white = counts[values[-1] - NEAR :].sum()
        return bool(near_white >= LEAST_WHITE * counts.sum()) and self._is_even(values[-1] - NEAR)

    def _is_even(self, low: int) -> bool:
        """Whether most neighbors from a gray on are equal, as no scanner makes them."""
        equal = total = 0
        for rows in _bands(self.gray):
            band = self.gray[rows].astype(np.int16)
            inner = (band[:, 1:] >= low) & (band[:, :-1] >= low)
            equal += int(np.count_nonzero(np.abs(np.diff(band, axis=1))[inner] <= 1))
            total += int(np.count_nonzero(inner))
        return equal > NO_NOISE * total


def _bands(pixels: np.ndarray) -> Iterator[slice]:
    """The rows of a picture in bands of about BAND pixels."""
    height = max(1, BAND // max(1, pixels.shape[1]))
    return (slice(top, top + height) for top in range(0, len(pixels), height))


def read_pictures(members: list[Member]) -> tuple[Volume, int]:
    """One or several slices, in the order of their names, and how many masks lay among them.

    Gray 0 to 255 spans the window assumed. Masks are left out.

    Raises:
        NotAScan: masks only, a color picture, or pictures of different sizes.
    """
    low, high = PICTURE_WINDOW_HU
    to_hu = np.rint(low + np.arange(256) * (high - low) / 255).astype(np.int16)
    members = natural_order(members)
    hu = np.empty(_announced_shape(members), np.int16)
    members[0].budget.allow(hu.size)
    with opened_picture(members[0]) as image:
        known = measured(image)
    if known.images > len(members):
        raise NotAScan(say("picture.pages_missing", found=len(members), needed=known.images))
    if known.is_known:
        return _read_measured(members, hu, known), 0
    ends_16: list[tuple[int, int]] = []
    masks, colored = True, 0.0
    shown = []
    for z, member in enumerate(members):
        picture = read_picture(member)
        shown.append(picture.shows)
        colored = max(colored, picture.colored)
        masks = masks and picture.looks_like_mask
        if picture.pixels.dtype == np.uint16:
            ends_16.append((int(picture.pixels.min()), int(picture.pixels.max())))
        hu[z] = to_hu[picture.gray ^ (128 if known.is_signed_byte else 0)]
    _check_scan(masks, colored, ends_16)
    is_slice = [one != Shows.MASK for one in shown]
    if not any(is_slice):
        raise NotAScan(say("picture.mask_not_scan"))
    hu = hu if all(is_slice) else hu[is_slice]
    notices = [say("picture.no_hu", low=low, high=high)]
    if colored:
        notices.append(say("picture.colored_parts"))
    numbers = slice_numbers([one for one, kept in zip(members, is_slice, strict=True) if kept])
    source = Source("picture", numbers=() if numbers is None else (numbers,))
    if known.spacing:  # of a TIFF
        notices[0] = say("picture.no_hu_but_sizes", low=low, high=high)
    volume = Volume(hu, known.spacing, PICTURE_WINDOW_HU, tuple(notices), source)
    return volume, len(members) - len(hu)


def _read_measured(members: list[Member], hu: np.ndarray, known: Measured) -> Volume:
    """A TIFF stack whose values are Hounsfield units; fills (z, y, x) `hu`.

    Args:
        members: its pages; only the first has what ImageJ writes of all.
        hu: to be filled.
        known: of the first page.
    """
    tally = Tally()
    for plane, member in zip(hu, members, strict=True):
        member.budget.spend("decoded_bytes", 4 * plane.size)
        with opened_picture(member) as image:
            values = values_of(image, known)
            tally.add(values)
            plane[...] = clipped(values)
    tally.check()
    if looks_like_labels(hu):
        raise NotAScan(say("picture.mask_not_scan"))
    check_range(hu)
    check_offset(hu)
    notices = [say("picture.tiff_order")] if len(hu) > 1 else []
    if known.spacing is None:
        notices.append(say("picture.tiff_no_sizes"))
    return Volume(hu, known.spacing, notices=tuple(notices), source=Source("picture"))


def natural_order(members: list[Member]) -> list[Member]:
    """Pictures by their names, image_2 before image_10; it is all they have."""
    return sorted(members, key=natural_key)


def _check_scan(masks: bool, colored: float, ends_16: list[tuple[int, int]]) -> None:
    """NotAScan for pictures that are no CT slices."""
    if ends_16:
        lowest, highest = min(low for low, _ in ends_16), max(high for _, high in ends_16)
        if lowest > WHOLE_RANGE_16[0] or highest < WHOLE_RANGE_16[1]:
            raise NotAScan(say("picture.sixteen_bits", low=lowest, high=highest))
    if colored > MOSTLY:
        raise NotAScan(say("picture.colors"))
    if masks:
        raise NotAScan(say("picture.mask_not_scan"))


def _announced_shape(members: list[Member]) -> tuple[int, int, int]:
    """(z, y, x) of pictures of one size, by their headers; refuses what is too much in all."""
    first = None
    for member in members:
        with opened_picture(member) as image:
            first = first or image.size
            if image.size != first:
                raise NotAScan(
                    say("picture.sizes_differ", first=size_of(first), second=size_of(image.size))
                )
            _check_size(image, len(members))
            decoded = len(members) * math.prod(first) * len(image.getbands())
    if decoded > max(BIG, LIMITS.ratio * sum(member.size for member in members)):
        raise TooLarge(say("picture.mostly_empty", ratio=LIMITS.ratio))
    assert first is not None
    return len(members), first[1], first[0]


def _check_size(image: Image.Image, count: int) -> None:
    """TooLarge for one of `count` pictures of a size that no scan has."""
    if max(image.size) > LIMITS.side or count * math.prod(image.size) > LIMITS.voxels:
        raise TooLarge(say("picture.too_large", size=size_of(image.size), limits=LIMITS.sentence))


def read_picture(member: Member, *, as_indices: bool = False) -> Picture:
    """Decodes a picture.

    Args:
        member: the file.
        as_indices: for a palette picture.
    """
    with opened_picture(member) as image:
        _check_size(image, 1)
        channels = len(image.getbands())
        member.budget.spend("decoded_bytes", math.prod(image.size) * channels)
        if image.format == "JPEG" and member.read().count(NEXT_SCAN) > LIMITS.jpeg_scans:
            raise ValueError
        if as_indices:
            return Picture(np.asarray(image), palette=_palette(image))
        if image.mode.startswith(("I", "F")):
            values = np.nan_to_num(np.asarray(image))
            return Picture(np.clip(np.rint(values), 0, 65535).astype(np.uint16))
        if image.mode in ("1", "L"):
            return Picture(np.asarray(image.convert("L")), GRAY_STEPS.get(_bits(member, image), 1))
        return Picture(_on_black(np.asarray(image.convert("RGBA"))))


def _bits(member: Member, image: Image.Image) -> int:
    """Of a gray value as it is stored."""
    if image.format == "PNG":
        return member.head(DEPTH_AT + 1)[DEPTH_AT]
    return bits_of(image) if image.format == TIFF else 8


def _palette(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    """256 colors; those that are not given, and those that are transparent, are black."""
    image.load()
    flat = (image.getpalette("RGBA") or []) + [0] * 1024
    colors = (flat[start : start + 4] for start in range(0, 1024, 4))
    return tuple((r, g, b) if alpha else (0, 0, 0) for r, g, b, alpha in colors)


def _on_black(rgba: np.ndarray) -> np.ndarray:
    """(y, x, 4) uint8 without transparency, and as (y, x) where nothing has a color."""
    pixels = np.empty((*rgba.shape[:2], 3), np.uint8)
    is_gray = True
    for rows in _bands(rgba):
        colors, alpha = rgba[rows, :, :3], rgba[rows, :, 3:]
        if alpha.min() < 255:
            pixels[rows] = colors.astype(np.uint16) * alpha // 255
        else:
            pixels[rows] = colors
        is_gray = is_gray and bool((pixels[rows] == pixels[rows, :, :1]).all())
    return np.ascontiguousarray(pixels[..., 0]) if is_gray else pixels


@contextmanager
def opened_picture(member: Member) -> Iterator[Image.Image]:
    """A picture whose header was read and whose pixels were not; refuses what breaks meanwhile."""
    try:
        with member.open() as stream, Image.open(stream, formats=("PNG", "JPEG", TIFF)) as image:
            check_readable(image)
            yield image
    except Image.DecompressionBombError:
        raise TooLarge(say("picture.far_too_large", limits=LIMITS.sentence)) from None
    except _DAMAGED:
        raise BrokenFile(say("picture.damaged")) from None


def size_of(size: tuple[int, int]) -> str:
    """As people say it."""
    return f"{size[0]}×{size[1]}"
