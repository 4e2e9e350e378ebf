"""Random changes that keep a slice a believable CT slice, made on the fly while training.

No flips: the liver lies on the right.
"""

import math

import cv2
import numpy as np
from scipy import ndimage

NOISE_SIGMAS = (0.0, 0.6, 1.0, 1.5, 3.0, 6.0)  # pixels of correlation
FINE, COARSE = slice(0, 4), slice(2, 6)  # of NOISE_SIGMAS: scanner noise, texture of tissue
SHADING = 0.06  # of the window, at most; faint tumors differ as little
SHADES = (3, 13)  # how many light and dark bands there may be in y and in x
CONTRAST = (0.55, 1.6)  # of a slice's differences to water, by phase and dose of contrast agent
_NOISE_SIDE = 512


def _make_noise() -> np.ndarray:
    """(sigmas, y, x) float32 of sd 1. Cutting from it is many times faster than drawing."""
    white = np.random.default_rng(0).standard_normal((_NOISE_SIDE, _NOISE_SIDE)).astype(np.float32)
    blurred = [ndimage.gaussian_filter(white, sigma, mode="wrap") for sigma in NOISE_SIGMAS]
    return np.stack([image / image.std() for image in blurred])


_NOISE = _make_noise()


def noise(rng: np.random.Generator, size: int, sigmas: slice) -> np.ndarray:
    """(size, size) float32 noise of sd 1, its correlation one of NOISE_SIGMAS[sigmas]."""
    y, x = rng.integers(0, _NOISE_SIDE - size + 1, 2)
    return _NOISE[rng.integers(sigmas.start, sigmas.stop), y : y + size, x : x + size]


def affine_matrix(
    center_xy: np.ndarray | tuple[float, float], size: int, scale: float, degrees: float
) -> np.ndarray:
    """(2, 3) matrix that turns and scales a slice and puts `center_xy` in a square's middle."""
    matrix = cv2.getRotationMatrix2D((0, 0), degrees, scale)
    matrix[:, 2] = (size - 1) / 2 - matrix[:, :2] @ np.asarray(center_xy, float)
    return matrix


def warp(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, size: int, bend: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Moves a slice and its masks alike.

    Args:
        image: (y, x, channels) float32; air (0) comes in from outside.
        mask: (y, x) or (y, x, channels) float32 in [0, 1].
        matrix: see `affine_matrix`.
        size: side of the result.
        bend: (2, size, size) float32 pixels of elastic deformation, or None.

    Returns:
        The image, and the mask as bool.
    """
    if bend is None:
        moved = [cv2.warpAffine(a, matrix, (size, size)) for a in (image, mask)]
    else:
        inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
        steps = np.arange(size, dtype=np.float32)
        y, x = bend[0] + steps[:, None], bend[1] + steps
        from_x, from_y = (a * x + b * y + c for a, b, c in inverse)
        moved = [cv2.remap(a, from_x, from_y, cv2.INTER_LINEAR) for a in (image, mask)]
    return moved[0], moved[1] > 0.5


def random_bend(rng: np.random.Generator, size: int, pixels: float) -> np.ndarray:
    """(2, size, size) float32 smooth displacement of at most about `pixels`."""
    grid = rng.uniform(-pixels, pixels, (2, 5, 5)).astype(np.float32)
    return np.stack([cv2.resize(g, (size, size), interpolation=cv2.INTER_CUBIC) for g in grid])


def random_contrast(rng: np.random.Generator, image: np.ndarray, water: float) -> np.ndarray:
    """Another phase of contrast agent, from none to a liver brighter than the window.

    Args:
        rng: of all choices.
        image: (y, x, 3) float32 in [0, 1]; what is darker than water keeps its value.
        water: its value.
    """
    factor = float(np.exp(rng.uniform(*np.log(CONTRAST))))
    brighter = np.maximum(image - np.float32(water), 0)
    brighter *= factor - 1
    brighter += image
    return np.minimum(brighter, 1, out=brighter)


def random_intensity(
    rng: np.random.Generator, image: np.ndarray, strength: float = 1.0, lone: bool = False
) -> np.ndarray:
    """Another scanner, contrast phase, dose or window.

    Args:
        rng: of all choices.
        image: (y, x, 3) float32 in [0, 1]; what is 0 was below the window and stays dark.
        strength: of the shift; above 1 for pictures, whose window is only assumed.
        lone: whether it is one slice three times, whose noise is the same then.
    """
    if rng.random() < 0.85:
        shift = rng.uniform(-0.13, 0.13) * strength
        factor = rng.uniform(0.82, 1.2)
        black = 0.5 - 0.5 * factor + shift
        changed = image * factor
        changed += black
        image = np.where(image > 0, changed, min(black, 0)) if black > 0 else changed
    if rng.random() < 0.2:
        image = np.clip(image, 0, 1) ** rng.uniform(0.75, 1.33)
    image = _random_sharpness(rng, image)
    if rng.random() < 0.3:
        image = with_shading(rng, image)
    if rng.random() < 0.45:
        image = _with_noise(rng, image, lone)
    return np.clip(image, 0, 1)


def with_shading(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Smooth bands and patches, the same in all three slices, as beam hardening makes them.

    Args:
        rng: of all choices.
        image: (y, x, 3) float32 in [0, 1]; what is 0 stays.
    """
    grid = rng.uniform(-1, 1, rng.integers(*SHADES, 2)).astype(np.float32)
    shade = cv2.resize(grid, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    return np.where(image > 0, image + rng.uniform(0, SHADING) * shade, image)


def _random_sharpness(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    kind = rng.random()
    if kind < 0.2:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.1))
    if kind < 0.28:
        return image + rng.uniform(0.2, 0.8) * (image - cv2.GaussianBlur(image, (0, 0), 1.0))
    return image


def _with_noise(rng: np.random.Generator, image: np.ndarray, lone: bool) -> np.ndarray:
    size, channels = image.shape[0], image.shape[-1]
    sigma = rng.uniform(0, 0.09) * math.sqrt(size / 256)  # less where pixels are larger
    grains = [noise(rng, size, FINE) for _ in range(1 if lone else channels)]
    grain = cv2.merge(grains * channels if lone else grains)
    grain *= np.where(image > 0, np.float32(sigma), np.float32(sigma / 2))
    grain += image
    return grain
