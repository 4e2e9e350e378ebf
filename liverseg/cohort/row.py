"""One study as a row of numbers, units in the names; None where undefined."""

import numpy as np

from ..scores.findings import Findings
from ..scores.lesions import number_lesions
from ..volume import Probability, Segmentation

UNSURE = (0.2, 0.8)  # probabilities between which a voxel is counted as uncertain
SCORED = ("dice", "precision", "recall", "rvd", "assd_mm", "hd95_mm")

Number = float | int | bool | None


def row_of(findings: Findings) -> dict[str, Number]:
    """What is compared between studies, with a ground truth or without."""
    volume, prediction, measured = findings.volume, findings.prediction, findings.measurements
    row: dict[str, Number] = {
        "slices": volume.shape[0],
        "slice_mm": volume.spacing.z if volume.spacing else None,
        "pixel_mm": volume.spacing.y if volume.spacing else None,
        "liver_ml": measured.liver_ml,
        "tumor_ml": measured.tumor_ml,
        "burden_percent": measured.burden_percent,
        "tumors": len(measured.lesions),
        "liver_parts": len(number_lesions(prediction.liver)[1]),
        "liver_hu_mean": measured.liver_hu_mean,
        "liver_hu_sd": measured.liver_hu_sd,
        "uncertain_share": _uncertain_share(prediction.liver_probability),
        "cut_by_end": _is_cut(prediction),
    }
    if findings.scores is None:
        return row
    scores, lesions = findings.scores, findings.scores.lesions
    for structure in ("liver", "tumor"):
        row |= {f"{structure}_{key}": getattr(getattr(scores, structure), key) for key in SCORED}
    for structure, dice in zip(("liver", "tumor"), findings.surface_dice or (), strict=False):
        row |= {f"{structure}_{key}": value for key, value in vars(dice).items()}
    row |= {
        "true_tumors": len(lesions.truth),
        "missed_tumors": sum(one.status == "missed" for one in lesions.truth),
        "false_tumors": sum(one.status == "false" for one in lesions.predicted),
    }
    return row | (vars(findings.quality) if findings.quality else {})


def _uncertain_share(probability: Probability | None) -> Number:
    """Voxels the network is unsure about, of all that it may take for liver."""
    if probability is None:
        return None
    low, high = (round(255 * limit) for limit in UNSURE)
    seen = np.count_nonzero(probability.values > low)
    return (
        float(np.count_nonzero((probability.values > low) & (probability.values < high)) / seen)
        if seen
        else None
    )


def _is_cut(prediction: Segmentation) -> Number:
    """Whether the liver reaches the scan's first or last slice; None for a single slice."""
    if len(prediction.labels) == 1:
        return None
    return bool(prediction.labels[0].any() or prediction.labels[-1].any())
