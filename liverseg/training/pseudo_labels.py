"""Tumors of livers nobody annotated, as a trained network sees them: patients for the next one.

Self-training (Lee, "Pseudo-Label", 2013) with only what the teacher is sure of; the rest stays
`UNANNOTATED` and is in no loss.
"""

import dataclasses

import numpy as np

from ..network.cascade import level
from ..network.engine import Engine
from ..network.postprocess import remove_doubtful
from ..network.preprocess import from_network
from ..volume import LIVER, TUMOR
from .labelled_scan import UNANNOTATED, LabelledScan
from .samples import case_input, tumor_view

SURE, LIKELY, UNLIKELY = 0.85, 0.5, 0.03  # a tumor's peak, its voxels, and liver


def pseudo_label(case: LabelledScan, engine: Engine) -> LabelledScan:
    """The case with `UNANNOTATED` liver turned into liver or tumor where the engine is sure.

    Args:
        case: a scan or pictures.
        engine: whose tumor network is the teacher.
    """
    labels = np.array(case.labels)
    unknown = labels == UNANNOTATED
    if not unknown.any():
        return case
    square, window_hu = tumor_view(case, engine.recipe)
    for z in np.flatnonzero(unknown.any(axis=(1, 2))).tolist():
        image = case_input(case, z, square, window_hu, engine.recipe)
        (probability,) = engine.predict("tumor", [image])
        values = from_network(np.rint(probability * 255).astype(np.uint8), square, labels[z].shape)
        tumor = np.where(unknown[z], values, 0)[None]
        remove_doubtful(tumor, level(LIKELY), 1, level(SURE))
        labels[z][unknown[z] & (values < level(UNLIKELY))] = LIVER
        labels[z][tumor[0] >= level(LIKELY)] = TUMOR
    return dataclasses.replace(case, labels=labels)
