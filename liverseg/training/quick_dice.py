"""Dice on validation patients while training: quick, on the network's grid, no post-processing.

It draws the curve and chooses thresholds. What is published comes from `evaluate`, which runs the
app's own code.
"""

from typing import Protocol

import cv2
import numpy as np

from ..network.preprocess import Square, cut, whole_slice
from ..network.recipe import Recipe
from ..scores.metrics import dice_of_some
from ..volume import BACKGROUND, TUMOR
from .labelled_scan import UNANNOTATED, LabelledScan
from .samples import View, case_input, is_picture, tumor_view

EVERY = {"liver": 4, "tumor": 2}  # slices
BATCH = 8


class Model(Protocol):
    """A Keras model, or what takes its place."""

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (n, size, size, 1) of images (n, size, size, 3)."""


def validate(model: Model, network: str, cases: list[LabelledScan], recipe: Recipe) -> float | None:
    """Mean Dice over patients, each the mean of their scans; None where none can be scored.

    Single pictures are no scans, and their Dice is not a patient's: they are left out. The tumor
    network sees the square around the annotated liver, and counts inside that liver.

    Args:
        model: of that network.
        network: "liver" or "tumor".
        cases: with ground truth.
        recipe: how scans become input.
    """
    threshold = recipe.liver_threshold if network == "liver" else recipe.tumor_threshold
    scores: dict[str, list[float]] = {}
    for case in cases:
        if is_picture(case):
            continue
        probability, truth, counted = outputs(model, network, case, recipe)
        if truth.any():
            dice = dice_of_some((probability >= threshold) & counted, truth)
            scores.setdefault(case.patient, []).append(dice)
    return float(np.mean([np.mean(scans) for scans in scores.values()])) if scores else None


def outputs(
    model: Model, network: str, case: LabelledScan, recipe: Recipe, view: View = tumor_view
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network says of a case, on its own grid.

    Args:
        model, network, recipe: see `validate`.
        case: any.
        view: what the tumor network sees of it.

    Returns:
        Probability (n, size, size) float32, the truth and what counts, both bool.
    """
    z = _slices(network, case)
    if not len(z):
        nothing = np.zeros((0, 1, 1), bool)
        return nothing.astype(np.float32), nothing, nothing
    square, window_hu = whole_slice(case.hu.shape[1:]), recipe.window_hu
    if network == "tumor":
        square, window_hu = view(case, recipe)
    labels = np.stack([_labels_to_network(case.labels[k], square, recipe.size) for k in z])
    probability = [
        model.predict_on_batch(
            np.stack([case_input(case, k, square, window_hu, recipe) for k in part])
        )
        for part in np.array_split(z, -(-len(z) // BATCH))
    ]
    liver = labels != BACKGROUND
    truth, counted = (
        (liver, np.ones_like(liver)) if network == "liver" else (labels == TUMOR, liver)
    )
    return np.concatenate(probability)[..., 0], truth, counted


def _slices(network: str, case: LabelledScan) -> np.ndarray:
    """Every few slices; for tumors of those with liver and with annotated tumors."""
    z = np.arange(len(case.labels))
    if network == "tumor":
        known = ~(case.labels == UNANNOTATED).any(axis=(1, 2))
        z = z[known & case.labels.any(axis=(1, 2))]
    return z[:: EVERY[network]]


def _labels_to_network(labels: np.ndarray, square: Square, size: int) -> np.ndarray:
    inside = cut(labels, square, fill=BACKGROUND)
    return cv2.resize(inside, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
