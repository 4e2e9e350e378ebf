"""Tumors drawn into real livers while training: any size and contrast, labels exact.

A 2.5-D form of the generator of Hu et al., "Label-Free Liver Tumor Segmentation" (CVPR 2023): an
ellipsoid with a wavy outline, its texture and its edge, cut by the three slices of one input.
"""

import cv2
import numpy as np

from .augment import COARSE, noise

RADII_MM = (4, 8, 16, 32)  # tiny, small, medium, large
CHANCES = (0.3, 0.3, 0.25, 0.15)  # of each
MOST = (6, 4, 2, 1)  # of each in one slice
DARKER_HU, BRIGHTER_HU = (18.0, 85.0), (15.0, 50.0)  # mean difference to the liver
BRIGHTER_CHANCE = 0.1
RIM_CHANCE = 0.15
LARGEST_PART = 0.6  # of the liver in this slice
SMALLEST_LIVER = 50  # pixels


def insert_tumors(
    rng: np.random.Generator,
    image: np.ndarray,
    liver: np.ndarray,
    pixel_mm: float,
    neighbor_mm: float,
    window_width_hu: float,
) -> np.ndarray:
    """Draws tumors into the liver, in place.

    Args:
        rng: of all choices.
        image: (y, x, 3) float32 in [0, 1]: the slice below, this one, the one above.
        liver: (y, x) bool of this slice.
        pixel_mm: side of a pixel of `image`.
        neighbor_mm: distance of the other two slices; 0 where they repeat this one.
        window_width_hu: what [0, 1] spans.

    Returns:
        (y, x) bool, the tumors in this slice.
    """
    label = np.zeros(liver.shape, bool)
    places = np.argwhere(cv2.erode(liver.astype(np.uint8), np.ones((5, 5), np.uint8)))
    if len(places) < SMALLEST_LIVER:
        return label
    kind = rng.choice(len(RADII_MM), p=CHANCES)
    brighter = rng.random() < BRIGHTER_CHANCE
    contrast = rng.uniform(*BRIGHTER_HU) if brighter else -rng.uniform(*DARKER_HU)
    edge, rim = rng.uniform(0.7, 2.0), rng.random() < RIM_CHANCE
    roughness = rng.uniform(0.05, 0.3)
    for _ in range(rng.integers(1, MOST[kind] + 1)):
        radii_mm = RADII_MM[kind] * rng.uniform(0.75, 1.25, 3)
        outline, depth_mm = _ellipsoid(rng, places, radii_mm, liver, pixel_mm)
        texture = np.clip(1 + roughness * noise(rng, len(liver), COARSE), 0, 2)
        for channel, z_mm in enumerate((-neighbor_mm, 0.0, neighbor_mm)):
            mask = outline < 1 - ((z_mm - depth_mm) / radii_mm[2]) ** 2
            mask &= liver
            strength = _soft(mask, edge, _rim_width(radii_mm, pixel_mm) if rim else None)
            image[..., channel] += strength * texture * (contrast / window_width_hu)
            if channel == 1:
                label |= mask
    np.clip(image, 0, 1, out=image)
    return label


def _ellipsoid(rng, places, radii_mm, liver, pixel_mm) -> tuple[np.ndarray, float]:
    """Squared distance from a tumor's axis over its wavy outline, and how far off-slice it lies.

    `radii_mm` shrink in place where the tumor would fill the liver.
    """
    most_mm2 = LARGEST_PART * liver.sum() * pixel_mm**2
    radii_mm *= min(1.0, np.sqrt(most_mm2 / (np.pi * radii_mm[0] * radii_mm[1])))
    y, x = (
        np.mgrid[0 : liver.shape[0], 0 : liver.shape[1]] - rng.choice(places)[:, None, None]
    ) * (pixel_mm)
    turn = rng.uniform(0, np.pi)
    along, across = np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y
    angle = np.arctan2(across, along)
    waves = sum(
        rng.uniform(-1, 1) / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)
    )
    outline = np.maximum(1 + rng.uniform(0.03, 0.2) * waves, 0.4)
    squared = ((along / radii_mm[0]) ** 2 + (across / radii_mm[1]) ** 2) / outline**2
    return squared, rng.uniform(-0.8, 0.8) * radii_mm[2]


def _rim_width(radii_mm: np.ndarray, pixel_mm: float) -> float:
    return max(1.0, 0.25 * min(radii_mm[:2]) / pixel_mm)


def _soft(mask: np.ndarray, edge: float, rim_width: float | None) -> np.ndarray:
    """(y, x) float32: how much of the contrast a pixel has; a rim has little or the opposite."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), edge)
    if rim_width is None:
        return soft
    core = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rim_width)
    return soft * np.clip(2.8 * (core - 0.45), -0.35, 1.2)
