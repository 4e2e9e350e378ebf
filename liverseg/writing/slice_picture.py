"""One slice as a picture with its masks outlined, a scale bar and the patient's sides."""

import cv2
import numpy as np

from ..volume import LIVER, TUMOR, Segmentation, Volume
from . import colors

ABDOMEN = (-150, 250)  # HU: width 400, level 50
PICTURE_PX = 720  # the longer side
FILL = 0.18  # opacity of the masks inside their outlines
SCALE_BAR_MM = 50
AIR_HU = -300  # less is air or lung
MARGIN = 12  # pixels of air left around the body
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def snapshot(
    volume: Volume, z: int, segmentation: Segmentation, truth: Segmentation | None = None
) -> bytes:
    """The body on one slice as PNG, in radiological convention and with square pixels.

    Liver and tumor are tinted and outlined, the ground truth is outlined; unknown spacing means
    square pixels and no scale bar.
    """
    low, high = volume.windowed or ABDOMEN
    part = (z, *_body(volume, z))
    gray = (volume.hu[part].clip(low, high).astype(np.float32) - low) * (255 / (high - low))
    pixel_mm = volume.spacing[1:] if volume.spacing else (1.0, 1.0)
    px_per_mm = PICTURE_PX / np.multiply(gray.shape, pixel_mm).max()
    height, width = np.rint(np.multiply(gray.shape, pixel_mm) * px_per_mm).clip(1).astype(int)
    picture = cv2.resize(gray, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)
    picture = np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2)
    _draw(picture, segmentation.labels[part] >= LIVER, colors.LIVER, FILL)
    _draw(picture, segmentation.labels[part] == TUMOR, colors.TUMOR, FILL)
    if truth:
        _draw(picture, truth.labels[part] >= LIVER, colors.TRUTH)
        _draw(picture, truth.labels[part] == TUMOR, colors.TRUTH)
    if volume.spacing:
        _scale_bar(picture, px_per_mm)
        _write(picture, "R", (12, height // 2))
        _write(picture, "L", (width - 30, height // 2))
    _, png = cv2.imencode(".png", picture[..., ::-1])
    return png.tobytes()


def _body(volume: Volume, z: int) -> tuple[slice, slice]:
    """The part of a slice that is not air around the body, with a margin; all of a picture."""
    body = volume.hu[z] > AIR_HU
    if volume.windowed or not body.any():
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    y, x = (slice(max(k[0] - MARGIN, 0), k[-1] + 1 + MARGIN) for k in (rows, columns))
    return y, x


def _draw(picture: np.ndarray, mask: np.ndarray, color: str, fill: float = 0) -> None:
    """Outlines, and with `fill` tints, a (y, x) bool mask on an RGB picture in place."""
    size = picture.shape[1::-1]
    mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    inside = mask > 0
    picture[inside] = (1 - fill) * picture[inside] + fill * np.array(colors.rgb(color))
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, colors.rgb(color), 2, cv2.LINE_AA)


def _scale_bar(picture: np.ndarray, px_per_mm: float) -> None:
    height, width = picture.shape[:2]
    length = round(SCALE_BAR_MM * px_per_mm)
    start, end = (width - 20 - length, height - 20), (width - 20, height - 20)
    cv2.line(picture, start, end, BLACK, 6)
    cv2.line(picture, start, end, WHITE, 3)
    _write(picture, f"{SCALE_BAR_MM} mm", (start[0], start[1] - 10))


def _write(picture: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    cv2.putText(picture, text, corner, FONT, 0.7, BLACK, 4, cv2.LINE_AA)
    cv2.putText(picture, text, corner, FONT, 0.7, WHITE, 2, cv2.LINE_AA)
