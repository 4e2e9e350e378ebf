"""Lesions: the connected parts of a tumor mask, numbered, and paired with the ground truth's."""

from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np

from ..volume import bounding_box

CONNECTIVITY: Final = 6  # voxels that share a face, as the LiTS challenge counts lesions


def number_lesions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the lesions of a mask, the largest first.

    Args:
        mask: (z, y, x) bool.

    Returns:
        (z, y, x) integers, 0 outside and k in lesion k; and their voxel counts, (n,) int64.
    """
    labels = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=CONNECTIVITY)
    voxels = np.bincount(labels.ravel())[1:]
    order = np.argsort(-voxels, kind="stable")
    rank = np.zeros(len(voxels) + 1, labels.dtype)
    rank[order + 1] = np.arange(1, len(voxels) + 1)
    return rank[labels], voxels[order]


@dataclass(frozen=True)
class Pairing:
    """Which predicted lesions stand for which of the truth.

    Attributes:
        prediction_iou: IoU of the pair that each predicted lesion is part of, 0 for none.
        truth_iou: the same for each lesion of the truth.
        prediction_voxels, truth_voxels: sizes, in the order of the lesions' numbers.
    """

    prediction_iou: np.ndarray
    truth_iou: np.ndarray
    prediction_voxels: np.ndarray
    truth_voxels: np.ndarray


def pair_lesions(prediction: np.ndarray, truth: np.ndarray) -> Pairing:
    """Pairs lesions as the LiTS challenge does, many to one by the greatest overlap.

    Lesions of the truth whose largest overlap is with the same predicted lesion are merged; each
    predicted lesion then belongs to the merged lesion that it overlaps most, and those that belong
    to the same one are merged too (`detect_lesions` of the official scorer; Bilic et al., LiTS,
    Medical Image Analysis 2023).

    Args:
        prediction, truth: (z, y, x) bool.
    """
    either = prediction | truth
    if not either.any():
        nothing = np.zeros(0)
        return Pairing(nothing, nothing, nothing.astype(int), nothing.astype(int))
    box = bounding_box(either)
    predicted, prediction_voxels = number_lesions(prediction[box])
    true, truth_voxels = number_lesions(truth[box])
    overlap = _overlap(predicted, true, len(prediction_voxels), len(truth_voxels))
    truth_group = _best(overlap.T)  # the predicted lesion that gives each group its number
    by_group = np.zeros((len(prediction_voxels), len(prediction_voxels)), int)
    found = truth_group >= 0
    np.add.at(by_group.T, truth_group[found], overlap.T[found])
    prediction_group = _best(by_group)
    iou = _group_iou(by_group, prediction_group, truth_group, prediction_voxels, truth_voxels)
    return Pairing(
        np.append(iou, 0)[prediction_group],
        np.append(iou, 0)[truth_group],
        prediction_voxels,
        truth_voxels,
    )


def _overlap(predicted: np.ndarray, true: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(predicted lesion, true lesion) int, shared voxels."""
    both = (predicted > 0) & (true > 0)
    overlap = np.zeros((rows, columns), int)
    np.add.at(overlap, (predicted[both].astype(int) - 1, true[both].astype(int) - 1), 1)
    return overlap


def _best(overlap: np.ndarray) -> np.ndarray:
    """For each row the column with the greatest overlap; -1 where there is none."""
    if not overlap.size:
        return np.full(len(overlap), -1)
    return np.where(overlap.any(axis=1), overlap.argmax(axis=1), -1)


def _group_iou(
    by_group: np.ndarray,
    prediction_group: np.ndarray,
    truth_group: np.ndarray,
    prediction_voxels: np.ndarray,
    truth_voxels: np.ndarray,
) -> np.ndarray:
    """(groups,) float: IoU of the merged predicted and the merged true lesions of each group."""
    iou = np.zeros(len(prediction_voxels))
    for group in np.unique(prediction_group[prediction_group >= 0]):
        members = prediction_group == group
        shared = by_group[members, group].sum()
        total = prediction_voxels[members].sum() + truth_voxels[truth_group == group].sum()
        iou[group] = shared / (total - shared)
    return iou
