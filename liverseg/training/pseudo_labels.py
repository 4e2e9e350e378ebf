"""Tumors of livers nobody annotated, as a trained network sees them: patients for the next one.

Self-training (Lee, "Pseudo-Label", 2013) with only what the teacher is sure of; the rest stays
`UNANNOTATED` and is in no loss.
"""

import dataclasses

import numpy as np

from ..network.cascade import level
from ..network.engine import load_network
from ..network.postprocess import remove_doubtful
from ..network.preprocess import from_network
from ..network.weights import Weights
from ..volume import LIVER, TUMOR
from .labelled_scan import UNANNOTATED, LabelledScan
from .samples import case_input, tumor_view

SURE, LIKELY, UNLIKELY = 0.85, 0.5, 0.03  # a tumor's peak, its voxels, and liver


class Teacher:
    """The tumor network of released weights, on whichever backend Keras has.

    Attributes:
        recipe: what it was trained with.
    """

    def __init__(self, weights: Weights):
        self.recipe = weights.recipe
        self._model = load_network(weights, "tumor")

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Probability (size, size) float32 of an image (size, size, 3) float32."""
        return self._model.predict_on_batch(image[None])[0, ..., 0]


def pseudo_label(case: LabelledScan, teacher: Teacher) -> LabelledScan:
    """The case with `UNANNOTATED` liver turned into liver or tumor where the teacher is sure.

    Args:
        case: a scan or pictures.
        teacher: who has learned none of the patients on whom anything is chosen or scored.
    """
    labels = np.array(case.labels)
    unknown = labels == UNANNOTATED
    if not unknown.any():
        return case
    recipe = teacher.recipe
    square, window_hu = tumor_view(case, recipe)
    for z in np.flatnonzero(unknown.any(axis=(1, 2))).tolist():
        probability = teacher.predict(case_input(case, z, square, window_hu, recipe))
        values = from_network(np.rint(probability * 255).astype(np.uint8), square, labels[z].shape)
        tumor = np.where(unknown[z], values, 0)[None]
        remove_doubtful(tumor, level(LIKELY), 1, level(SURE))
        labels[z][unknown[z] & (values < level(UNLIKELY))] = LIVER
        labels[z][tumor[0] >= level(LIKELY)] = TUMOR
    return dataclasses.replace(case, labels=labels)
