"""PNG and JPEG: slices that were windowed before they were saved, and masks.

A picture's gray values are no Hounsfield units and its pixels have no size; both are said.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import BrokenFile, NotAScan, TooLarge, TruthMismatch
from ..sentences import say
from ..volume import Source, Volume
from .alignment import size_mismatch
from .archive import Member, natural_key
from .limits import LIMITS

# What black and white are assumed to mean: of a liver window's pictures this finds the liver, of an
# abdomen window's as well as their own would.
PICTURE_WINDOW_HU = (-40, 160)
COLORED = 32  # difference of the channels from which a pixel has a color
MOSTLY = 0.5  # share of colored pixels from which a picture is no CT slice
MASK_SHARE = 0.95  # of a mask's pixels are black or white, even after JPEG
NEAR = 12  # gray values around black and white that JPEG makes of them
MASK_VALUES = 3  # distinct grays a mask may have
HALF = 128  # from here on a blurred mask is set
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


@dataclass(frozen=True, eq=False)
class _Picture:
    """A decoded picture.

    Attributes:
        pixels: (y, x) uint8 or uint16 gray, or (y, x, 3) uint8 colors; transparent is black.
        is_jpeg: whether its values are approximate.
    """

    pixels: np.ndarray
    is_jpeg: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self.pixels.shape[:2]

    @property
    def gray(self) -> np.ndarray:
        """(y, x) uint8."""
        if self.pixels.ndim == 3:
            return np.rint(self.pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        surplus_bits = 8 * (self.pixels.itemsize - 1)
        return (self.pixels >> surplus_bits).astype(np.uint8)

    @property
    def colored(self) -> float:
        """The share of pixels that have a color."""
        if self.pixels.ndim == 2:
            return 0.0
        return float(np.mean(np.ptp(self.pixels, axis=2) > COLORED))

    @property
    def looks_like_mask(self) -> bool:
        """Whether there are few values, or nearly all are black or as bright as the brightest."""
        gray = self.gray.astype(int)
        if np.count_nonzero(np.bincount(gray.ravel())) <= MASK_VALUES:
            return True
        return bool(np.mean((gray <= NEAR) | (gray >= gray.max() - NEAR)) >= MASK_SHARE)


def read_pictures(members: list[Member]) -> Volume:
    """One or several slices, in the order of their names; gray 0 to 255 spans the window assumed.

    Raises:
        NotAScan: a mask, a color picture, or pictures of different sizes.
    """
    low, high = PICTURE_WINDOW_HU
    to_hu = np.rint(low + np.arange(256) * (high - low) / 255).astype(np.int16)
    slices: list[np.ndarray] = []
    ends_16: list[tuple[int, int]] = []
    masks, colored = True, 0.0
    for member in natural_order(members):
        picture = _read(member, len(members))
        if slices and picture.shape != slices[0].shape:
            raise NotAScan(
                say(
                    "picture.sizes_differ",
                    first=_size(slices[0].shape),
                    second=_size(picture.shape),
                )
            )
        colored = max(colored, picture.colored)
        masks = masks and picture.looks_like_mask
        if picture.pixels.dtype == np.uint16:
            ends_16.append((int(picture.pixels.min()), int(picture.pixels.max())))
        slices.append(to_hu[picture.gray])
    _check_scan(masks, colored, ends_16)
    notices = [say("picture.no_hu", low=low, high=high)]
    if colored:
        notices.append(say("picture.colored_parts"))
    hu = np.stack(slices)
    return Volume(hu, windowed=PICTURE_WINDOW_HU, notices=tuple(notices), source=Source("picture"))


def read_picture_masks(members: list[Member], volume: Volume) -> np.ndarray:
    """Masks in the order of their names, (z, y, x) uint8 on the scan's grid.

    Returns:
        Gray values of PNG masks; colors numbered from the largest area to the smallest; 0 and 1 of
        JPEG and of blurred masks.

    Raises:
        TruthMismatch: another number or size of pictures, or no masks.
    """
    if len(members) != len(volume.hu):
        raise TruthMismatch(say("truth.picture_count", found=len(members), needed=len(volume.hu)))
    pictures = [_read(member, len(members)) for member in natural_order(members)]
    for picture in pictures:
        if picture.shape != volume.shape[1:]:
            raise size_mismatch(picture.shape, volume)
    if not any(picture.is_jpeg for picture in pictures):
        values = _distinct_values(pictures)
        if values is not None:
            return values
    if not all(picture.looks_like_mask for picture in pictures):
        raise TruthMismatch(say("truth.pictures_not_masks"))
    return np.stack([picture.gray >= HALF for picture in pictures]).astype(np.uint8)


def _distinct_values(pictures: list[_Picture]) -> np.ndarray | None:
    """(z, y, x) uint8 of at most two values besides 0; None where there are more."""
    is_color = any(picture.pixels.ndim == 3 for picture in pictures)
    codes = np.stack([_codes(picture, is_color) for picture in pictures])
    areas: dict[int, int] = {}
    for plane in codes:
        found, counts = np.unique(plane, return_counts=True)
        for code, count in zip(found.tolist(), counts.tolist(), strict=True):
            areas[code] = areas.get(code, 0) + count
        if len(areas) > MASK_VALUES:
            return None
    areas.pop(0, None)
    if not is_color and max(areas, default=0) <= 255:
        return codes.astype(np.uint8)
    ranked = sorted(areas, key=lambda code: -areas[code] if is_color else code)
    values = np.zeros(codes.shape, np.uint8)
    for rank, code in enumerate(ranked, start=1):
        values[codes == code] = rank
    return values


def _codes(picture: _Picture, as_color: bool) -> np.ndarray:
    """(y, x) int32, one number per gray or color."""
    pixels = picture.pixels.astype(np.int32)
    if pixels.ndim == 2 and as_color:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return pixels if pixels.ndim == 2 else pixels @ np.array([1 << 16, 1 << 8, 1], np.int32)


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


def _read(member: Member, count: int) -> _Picture:
    """Decodes one of `count` pictures after a look at its size."""
    with _opened(member) as image:
        if max(image.size) > LIMITS.side or count * image.width * image.height > LIMITS.voxels:
            raise TooLarge(
                say(
                    "picture.too_large",
                    size=f"{image.width}×{image.height}",
                    limits=LIMITS.sentence,
                )
            )
        is_jpeg = image.format == "JPEG"
        if image.mode.startswith("I"):
            return _Picture(np.clip(np.asarray(image), 0, 65535).astype(np.uint16), is_jpeg)
        if image.mode in ("1", "L"):
            return _Picture(np.asarray(image.convert("L")), is_jpeg)
        rgba = np.asarray(image.convert("RGBA"))
        pixels = rgba[..., :3]
        if rgba[..., 3].min() < 255:
            pixels = (pixels.astype(np.uint16) * rgba[..., 3:] // 255).astype(np.uint8)
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        return _Picture(pixels, is_jpeg)


@contextmanager
def _opened(member: Member) -> Iterator[Image.Image]:
    try:
        with member.open() as stream, Image.open(stream, formats=("PNG", "JPEG")) as image:
            yield image
    except Image.DecompressionBombError:
        raise TooLarge(say("picture.far_too_large", limits=LIMITS.sentence)) from None
    except _DAMAGED:
        raise BrokenFile(say("picture.damaged")) from None


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]}×{shape[0]}"
