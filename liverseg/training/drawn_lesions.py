"""Tumors, and what looks like them, drawn into real scans while training, labels exact.

A 2.5-D form of the generator of Hu et al., "Label-Free Liver Tumor Segmentation" (CVPR 2023): an
ellipsoid with a wavy outline, its texture and its edge, cut by the three slices of one input.
Only the box that holds a lesion and its edge is computed.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .augment import COARSE, noise

RADII_MM = (4, 8, 16, 32)  # tiny, small, medium, large
CHANCES = (0.3, 0.3, 0.25, 0.15)  # of each
MOST = (6, 4, 2, 1)  # of each in one slice
DARKER_HU, BRIGHTER_HU = (18.0, 110.0), (15.0, 50.0)  # mean difference to the liver
CYST_HU = (-10.0, 22.0)  # of cysts, bile and beds of removed tumors
SOLID_HU = 28.0  # no annotated tumor of the training patients is darker
BRIGHTER_CHANCE = 0.1
RIM_CHANCE = 0.15
LARGEST_PART = 0.6  # of the liver in this slice
SMALLEST_LIVER = 50  # pixels
NOTCH_HU = ((CYST_HU[0], SOLID_HU), (-110.0, -60.0))  # fluid and fat that reach into the liver
NOTCH_KINDS = (0.7, 0.3)  # of each
NOTCH_MM = 5.0  # how far from the outline their middle lies
BESIDE_MM = 45.0  # how far from the liver other organs are drawn
TISSUE = 0.05  # of the window; air and fat are below, even where a picture was compressed
WALL_MM = 18.0  # of the body, where nothing is drawn
LARGE_CHANCES = (0.1, 0.25, 0.35, 0.3)  # of each size: organs and notches are larger than tumors
BESIDE_HU = (CYST_HU, (30.0, 75.0), (160.0, 400.0))  # fluid, solid or thick, contrast agent drunk
BESIDE_KINDS = (0.5, 0.3, 0.2)  # of each
UNLIKE_HU = 20.0  # what looks like liver may be liver
TISSUE_BLUR = 2.0  # pixels, between the tissue's brightness and its noise
WAVES = (2, 3, 4, 5)  # in an outline, once around
TURN = 2 * np.pi
BLUR_REACH = 4.0  # sigmas, as far as OpenCV's kernels of floats reach


Box = tuple[slice, slice]


class Slab(NamedTuple):
    """How the three slices of one input lie in the body.

    Attributes:
        pixel_mm: side of a pixel.
        neighbor_mm: distance of the other two slices; 0 where they repeat this one.
        window_hu: what [0, 1] spans.
    """

    pixel_mm: float
    neighbor_mm: float
    window_hu: tuple[float, float]


class Lesion(NamedTuple):
    """One lesion as the three slices cut it.

    Attributes:
        radii_mm: (3,) along y, x and z before it was turned.
        box: rows and columns of the slice that hold it.
        masks: (y, x, 3) bool in that box.
    """

    radii_mm: np.ndarray
    box: Box
    masks: np.ndarray


def insert_tumors(
    rng: np.random.Generator, image: np.ndarray, liver: np.ndarray, slab: Slab
) -> np.ndarray:
    """Draws tumors into the liver, in place.

    Args:
        rng: of all choices.
        image: (y, x, 3) float32 in [0, 1]: the slice below, this one, the one above.
        liver: (y, x) bool of this slice.
        slab: of the three slices.

    Returns:
        (y, x) bool, the tumors in this slice.
    """
    label = np.zeros(liver.shape, bool)
    places = _places(liver)
    if len(places) < SMALLEST_LIVER:
        return label
    low, high = slab.window_hu
    kind = rng.choice(len(RADII_MM), p=CHANCES)
    brighter = rng.random() < BRIGHTER_CHANCE
    darkest_hu = np.clip(_liver_hu(image, liver, slab) - SOLID_HU, *DARKER_HU)
    contrast = rng.uniform(*BRIGHTER_HU) if brighter else -rng.uniform(DARKER_HU[0], darkest_hu)
    edge, rim = rng.uniform(0.7, 2.0), rng.random() < RIM_CHANCE
    roughness = rng.uniform(0.05, 0.3)
    for lesion in _lesions(rng, kind, places, liver, slab):
        grain = noise(rng, len(liver), COARSE)
        rim_width = _rim_width(lesion.radii_mm, slab.pixel_mm) if rim else None
        box, masks = _with_edge(lesion.box, lesion.masks, liver.shape, max(edge, rim_width or 0))
        texture = np.clip(1 + roughness * grain[box], 0, 2) * np.float32(contrast / (high - low))
        image[box] += _soft(masks, edge, rim_width) * texture[..., None]
        label[box] |= masks[..., 1]
    np.clip(image, 0, 1, out=image)
    return label


def insert_cysts(
    rng: np.random.Generator, image: np.ndarray, liver: np.ndarray, slab: Slab
) -> None:
    """Draws into the liver, in place, what is no tumor: fluid, even and with a sharp outline.

    Args:
        rng, image, slab: see `insert_tumors`.
        liver: (y, x) bool without its tumors; nothing is drawn outside.
    """
    _fill(rng, image, liver, _places(liver), slab, rng.uniform(*CYST_HU), CHANCES)


def insert_organs(
    rng: np.random.Generator, image: np.ndarray, liver: np.ndarray, slab: Slab
) -> None:
    """Draws beside the liver, in place, what is neither liver nor tumor.

    It stands for gallbladder, filled stomach and bowel, and masses of other organs.

    Args:
        rng, image, slab: see `insert_tumors`.
        liver: (y, x) bool with its tumors; nothing is drawn inside.
    """
    hu = _unlike_liver(rng, BESIDE_HU, BESIDE_KINDS, image, liver, slab)
    if hu is None:
        return
    beside = _beside(image, liver, slab)
    _fill(rng, image, beside, _places(beside & _tissue(image)), slab, hu, LARGE_CHANCES)


def insert_notches(
    rng: np.random.Generator, image: np.ndarray, liver: np.ndarray, slab: Slab
) -> np.ndarray:
    """Draws fluid or fat over the liver's outline, in place, which is then no liver.

    It stands for gallbladder, fissures and beds of removed tumors.

    Args:
        rng, image, slab: see `insert_tumors`.
        liver: (y, x) bool with its tumors.

    Returns:
        (y, x) bool, what was drawn in this slice.
    """
    hu = _unlike_liver(rng, NOTCH_HU, NOTCH_KINDS, image, liver, slab)
    if hu is None:
        return np.zeros(liver.shape, bool)
    region = liver | _beside(image, liver, slab)
    band = _widened(liver, NOTCH_MM, slab) & ~_narrowed(liver, NOTCH_MM, slab)
    return _fill(rng, image, region, np.flatnonzero(band & region), slab, hu, LARGE_CHANCES)


def _unlike_liver(
    rng: np.random.Generator,
    ranges_hu: Sequence[tuple[float, float]],
    chances: Sequence[float],
    image: np.ndarray,
    liver: np.ndarray,
    slab: Slab,
) -> float | None:
    """HU of one of some kinds; None where it looks like the liver, or where there is none."""
    hu = rng.uniform(*ranges_hu[rng.choice(len(ranges_hu), p=chances)])
    like = not liver.any() or abs(hu - _liver_hu(image, liver, slab)) < UNLIKE_HU
    return None if like else hu


def _beside(image: np.ndarray, liver: np.ndarray, slab: Slab) -> np.ndarray:
    """(y, x) bool: the body near the liver."""
    near = _widened(liver, BESIDE_MM, slab)
    return near & ~liver & _inside_body(_tissue(image), slab)


def _tissue(image: np.ndarray) -> np.ndarray:
    return image[..., 1] > TISSUE


def _widened(mask: np.ndarray, mm: float, slab: Slab) -> np.ndarray:
    return cv2.dilate(mask.view(np.uint8), _square(mm, slab)).view(bool)


def _narrowed(mask: np.ndarray, mm: float, slab: Slab) -> np.ndarray:
    return cv2.erode(mask.view(np.uint8), _square(mm, slab)).view(bool)


def _square(mm: float, slab: Slab) -> np.ndarray:
    return np.ones((2 * round(mm / slab.pixel_mm) + 1,) * 2, np.uint8)


def _liver_hu(image: np.ndarray, liver: np.ndarray, slab: Slab) -> float:
    """The liver's median in this slice."""
    low, high = slab.window_hu
    return low + float(np.median(image[..., 1][liver])) * (high - low)


def _inside_body(tissue: np.ndarray, slab: Slab) -> np.ndarray:
    """(y, x) bool: the body without its wall; lungs and bowel are in it."""
    body = np.zeros(tissue.shape, np.uint8)
    outlines, _ = cv2.findContours(
        tissue.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if outlines:
        cv2.drawContours(body, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return _narrowed(body.view(bool), WALL_MM, slab)


def _fill(
    rng: np.random.Generator,
    image: np.ndarray,
    region: np.ndarray,
    places: np.ndarray,
    slab: Slab,
    hu: float,
    chances: Sequence[float],
) -> np.ndarray:
    """Draws even places of some HU into a region, in place; returns those of this slice."""
    drawn = np.zeros((*region.shape, 3), bool)
    if len(places) < SMALLEST_LIVER:
        return drawn[..., 1]
    low, high = slab.window_hu
    kind = rng.choice(len(RADII_MM), p=chances)
    edge = rng.uniform(0.5, 1.2)
    boxes = []
    for lesion in _lesions(rng, kind, places, region, slab):
        drawn[lesion.box] |= lesion.masks
        boxes.append(lesion.box)
    inner = _around_all(boxes)
    box, masks = _with_edge(inner, drawn[inner], region.shape, edge + TISSUE_BLUR)
    tissue = cv2.GaussianBlur(image[box], (0, 0), TISSUE_BLUR)  # the noise stays
    image[box] += _soft(masks, edge, None) * (np.float32((hu - low) / (high - low)) - tissue)
    np.clip(image, 0, 1, out=image)
    return drawn[..., 1]


def _places(liver: np.ndarray) -> np.ndarray:
    """(n,) indices of pixels, counted row by row, where something may be drawn."""
    return np.flatnonzero(cv2.erode(liver.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool))


def _lesions(
    rng: np.random.Generator, kind: int, places: np.ndarray, liver: np.ndarray, slab: Slab
) -> Iterator[Lesion]:
    """Some lesions of a size, each inside the liver."""
    z_mm = np.array([-slab.neighbor_mm, 0.0, slab.neighbor_mm])
    most_mm2 = LARGEST_PART * np.count_nonzero(liver) * slab.pixel_mm**2
    for _ in range(rng.integers(1, MOST[kind] + 1)):
        radii_mm = RADII_MM[kind] * rng.uniform(0.75, 1.25, 3)
        # smaller where it would fill the liver
        radii_mm *= min(1.0, np.sqrt(most_mm2 / (np.pi * radii_mm[0] * radii_mm[1])))
        middle = np.array(np.unravel_index(places[rng.integers(len(places))], liver.shape))
        outline, box = _ellipsoid(rng, middle, radii_mm, liver.shape, slab.pixel_mm)
        depth_mm = rng.uniform(-0.8, 0.8) * radii_mm[2]
        within = 1 - ((z_mm - depth_mm) / radii_mm[2]) ** 2
        yield Lesion(radii_mm, box, liver[box][..., None] & (outline[..., None] < within))


def _ellipsoid(
    rng: np.random.Generator,
    middle: np.ndarray,
    radii_mm: np.ndarray,
    shape: tuple[int, ...],
    pixel_mm: float,
) -> tuple[np.ndarray, Box]:
    """Squared distance from a lesion's axis over its wavy outline, and the box it is known in.

    The lesion, where this is below 1, is nowhere outside the box.
    """
    turn = rng.uniform(0, np.pi)
    heights, phases = np.transpose([(rng.uniform(-1, 1) / k, rng.uniform(0, TURN)) for k in WAVES])
    amplitude = rng.uniform(0.03, 0.2)
    reach_mm = radii_mm[:2].max() * (1 + amplitude * np.abs(heights).sum())
    box = _box(middle, reach_mm / pixel_mm, shape)
    y, x = (
        (np.arange(part.start, part.stop) - center) * pixel_mm
        for part, center in zip(box, middle, strict=True)
    )
    y, x = y[:, None], x[None]
    along, across = np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y
    # cos(k angle + phase) of all k from powers of one complex number
    direction = along + 1j * across
    direction /= np.maximum(np.abs(direction), 1e-9)
    waves, power = np.zeros(direction.shape), direction
    for height, phase in zip(heights, phases, strict=True):
        power = power * direction
        waves += height * (power * np.exp(1j * phase)).real
    outline = np.maximum(1 + amplitude * waves, 0.4)
    return ((along / radii_mm[0]) ** 2 + (across / radii_mm[1]) ** 2) / outline**2, box


def _box(middle: np.ndarray, reach: float, shape: tuple[int, ...]) -> Box:
    """Pixels as far as `reach` from the middle, inside the slice."""
    first = np.maximum(np.floor(middle - reach), 0).astype(int)
    last = np.minimum(np.ceil(middle + reach), np.array(shape) - 1).astype(int)
    return slice(first[0], last[0] + 1), slice(first[1], last[1] + 1)


def _around_all(boxes: Sequence[Box]) -> Box:
    y, x = (
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )
    return y, x


def _with_edge(
    box: Box, masks: np.ndarray, shape: tuple[int, ...], sigma: float
) -> tuple[Box, np.ndarray]:
    """A larger box, outside of which a Gaussian blur leaves nothing, and the masks in it."""
    margin = math.ceil(BLUR_REACH * sigma) + 1
    y, x = (
        slice(max(part.start - margin, 0), min(part.stop + margin, side))
        for part, side in zip(box, shape, strict=True)
    )
    around = [
        (inner.start - outer.start, outer.stop - inner.stop)
        for inner, outer in zip(box, (y, x), strict=True)
    ]
    return (y, x), np.pad(masks, (*around, (0, 0)))


def _rim_width(radii_mm: np.ndarray, pixel_mm: float) -> float:
    return max(1.0, 0.25 * min(radii_mm[:2]) / pixel_mm)


def _soft(masks: np.ndarray, edge: float, rim_width: float | None) -> np.ndarray:
    """(y, x, 3) float32: how much of the contrast a pixel has; a rim has little or the opposite."""
    sharp = masks.astype(np.float32)
    soft = cv2.GaussianBlur(sharp, (0, 0), edge)
    if rim_width is None:
        return soft
    core = cv2.GaussianBlur(sharp, (0, 0), rim_width)
    return soft * np.clip(2.8 * (core - 0.45), -0.35, 1.2)
