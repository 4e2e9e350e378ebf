"""How well tumors are found and outlined one by one.

The lesions are cc3d's, as everywhere (see `lesions`). panoptica, the kept library for this, cannot
be installed beside this package: its newest release, 2.1.7, needs NumPy 2.2, Plotly 5 and cc3d 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..volume import bounding_box
from .lesions import number_lesions
from .measurements import Lesion
from .metrics import DETECTED_IOU, MISSED, LesionScores

SMALL_MM, LARGE_MM = 10, 20  # RECIST's measurable, and twice of it


@dataclass(frozen=True)
class LesionQuality:
    """Scores of single lesions; None where there is nothing to count.

    A pair is one lesion of each mask with IoU above 0.5, which no lesion can share with another.

    Attributes:
        panoptic_quality: sum of the pairs' IoU / (pairs + (missed + false) / 2) (Kirillov et al.,
            CVPR 2019).
        lesion_dice: sum of the pairs' Dice / (pairs + missed + false) (Saluja et al., BraTS 2023,
            with pairs instead of dilated truths).
        sensitivity_below_10mm, sensitivity_10_to_20mm, sensitivity_above_20mm: share of the true
            lesions with that long axis that any predicted lesion touches, as the LiTS challenge
            detects at IoU above 0; None too where spacing is unknown.
    """

    panoptic_quality: float | None
    lesion_dice: float | None
    sensitivity_below_10mm: float | None
    sensitivity_10_to_20mm: float | None
    sensitivity_above_20mm: float | None


def lesion_quality(
    prediction: np.ndarray, truth: np.ndarray, lesions: Sequence[Lesion], scores: LesionScores
) -> LesionQuality:
    """Scores tumors one by one.

    Args:
        prediction, truth: (z, y, x) bool.
        lesions: of the truth, as measured.
        scores: of the same masks; its lesions have the numbers of `lesions`.
    """
    ious, unpaired = _pairs(prediction, truth)
    either = len(ious) + unpaired
    small, middle, large = (
        _share_found(lesions, scores, low, high)
        for low, high in ((0, SMALL_MM), (SMALL_MM, LARGE_MM), (LARGE_MM, np.inf))
    )
    return LesionQuality(
        panoptic_quality=float(ious.sum() / (len(ious) + unpaired / 2)) if either else None,
        lesion_dice=float((2 * ious / (1 + ious)).sum() / either) if either else None,
        sensitivity_below_10mm=small,
        sensitivity_10_to_20mm=middle,
        sensitivity_above_20mm=large,
    )


def _pairs(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, int]:
    """IoU of each pair, and how many lesions of both masks are in none."""
    either = prediction | truth
    if not either.any():
        return np.zeros(0), 0
    box = bounding_box(either)
    (found, found_voxels), (true, true_voxels) = map(number_lesions, (prediction[box], truth[box]))
    both = (found > 0) & (true > 0)
    (pairs, shared) = np.unique(
        np.stack([found[both], true[both]]).astype(int), axis=1, return_counts=True
    )
    union = found_voxels[pairs[0] - 1] + true_voxels[pairs[1] - 1] - shared
    ious = shared / union
    ious = ious[ious > DETECTED_IOU]
    return ious, len(found_voxels) + len(true_voxels) - 2 * len(ious)


def _share_found(
    lesions: Sequence[Lesion], scores: LesionScores, low: float, high: float
) -> float | None:
    """Of the lesions from `low` to below `high` mm; exactly 20 mm belongs to the middle."""
    hits = [
        match.status != MISSED
        for lesion, match in zip(lesions, scores.truth, strict=True)
        if lesion.long_axis_mm is not None and _is_within(lesion.long_axis_mm, low, high)
    ]
    return sum(hits) / len(hits) if hits else None


def _is_within(axis_mm: float, low: float, high: float) -> bool:
    above = axis_mm > low if low == LARGE_MM else axis_mm >= low
    below = axis_mm <= high if high == LARGE_MM else axis_mm < high
    return above and below
