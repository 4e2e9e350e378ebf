"""Many patients' scores as one table: mean, spread and how sure the mean is."""

from collections.abc import Iterable

import numpy as np

from ..scores.metrics import dice_of_counts
from .calibration import pool

SIZES_MM = {"below 10 mm": (0, 10), "10 to 20 mm": (10, 20), "above 20 mm": (20, np.inf)}
SCORES = (
    "dice",
    "iou",
    "precision",
    "recall",
    "f1",
    "accuracy",
    "voe",
    "rvd",
    "assd_mm",
    "hd95_mm",
    "max_surface_mm",
)


def summarize(patients: list[dict]) -> dict:
    """Summarizes the records that `evaluate.score_case` makes, one for each scan.

    Tumor scores are those of scans with annotated tumors; scans without any have
    `false_tumor_ml` instead. Undefined scores are left out and each number says how many it is of.
    """
    with_tumor = [p["tumor"] for p in patients if p["tumor"] and p["tumor"]["truth_voxels"]]
    tumor_free = [p["tumor"] for p in patients if p["tumor"] and not p["tumor"]["truth_voxels"]]
    burdens = _known(p["burden_error_percent"] for p in patients)
    return {
        "patients": len({p["patient"] for p in patients}),
        "scans": len(patients),
        "scans_without_spacing": sum(p["spacing_zyx_mm"] is None for p in patients),
        "liver": _structure([p["liver"] for p in patients])
        | {
            "volume_error_percent": describe(p["liver_error_percent"] for p in patients),
            "calibration": _calibration(p["liver"] for p in patients),
        },
        "tumor": _structure(with_tumor)
        | {
            "dice_lits": describe(map(_lits_dice, with_tumor + tumor_free)),
            "calibration": _calibration(with_tumor + tumor_free),
        },
        "tumor_free": {
            "scans": len(tumor_free),
            "false_tumor_ml": describe(tumor["prediction_ml"] for tumor in tumor_free),
        },
        "lesions": _lesions(with_tumor + tumor_free),
        "burden_rmse_percent": float(np.sqrt(np.mean(burdens**2))) if burdens.size else None,
    }


def describe(values: Iterable[float | None]) -> dict:
    """Count, mean, standard deviation, median, range and the mean's 95 % bootstrap interval.

    None is left out. The interval is the percentile one of 9,999 resamples of scans; None for
    fewer than two.
    """
    known = _known(values)
    if not known.size:
        return {"n": 0, "mean": None, "sd": None, "median": None, "range": None, "ci95": None}
    interval = None
    if known.size > 1:
        from scipy.stats import bootstrap  # half a second that the page need not wait for

        found = bootstrap((known,), np.mean, method="percentile", rng=np.random.default_rng(0))
        interval = [float(limit) for limit in found.confidence_interval]
    return {
        "n": known.size,
        "mean": float(known.mean()),
        "sd": float(known.std(ddof=1)) if known.size > 1 else None,
        "median": float(np.median(known)),
        "range": [float(known.min()), float(known.max())],
        "ci95": interval,
    }


def _known(values: Iterable[float | None]) -> np.ndarray:
    return np.array([value for value in values if value is not None], float)


def _structure(records: list[dict]) -> dict:
    """Each score over patients; Dice also over all their voxels together (LiTS: global)."""
    counts = (
        sum(record[f"{name}_voxels"] for record in records)
        for name in ("shared", "prediction", "truth")
    )
    return {key: describe(record["scores"][key] for record in records) for key in SCORES} | {
        "dice_global": dice_of_counts(*counts)
    }


def _calibration(records: Iterable[dict]) -> dict:
    return pool(record["reliability"] for record in records)


def _lits_dice(record: dict) -> float:
    """As LiTS counts: 1 where neither truth nor prediction has a tumor."""
    return 1.0 if record["scores"]["dice"] is None else record["scores"]["dice"]


def _lesions(records: list[dict]) -> dict:
    """Detection pooled over patients, and by the true lesions' long axis where it is known."""
    predicted = [lesion for record in records for lesion in record["predicted_lesions"]]
    true = [lesion for record in records for lesion in record["true_lesions"]]
    return {
        "predicted": len(predicted),
        "true": len(true),
        "precision": _share(predicted, ("detected",)),
        "recall": _share(true, ("detected",)),
        "precision_touched": _share(predicted, ("detected", "touched")),
        "recall_touched": _share(true, ("detected", "touched")),
        "by_size": {
            name: {
                "true": len(of_size),
                "recall": _share(of_size, ("detected",)),
                "recall_touched": _share(of_size, ("detected", "touched")),
            }
            for name, (low, high) in SIZES_MM.items()
            for of_size in [_of_size(true, low, high)]
        },
    }


def _of_size(lesions: list[dict], low: float, high: float) -> list[dict]:
    """Lesions whose long axis is at least `low` and below `high` mm."""
    known = [lesion for lesion in lesions if lesion["long_axis_mm"] is not None]
    return [lesion for lesion in known if low <= lesion["long_axis_mm"] < high]


def _share(lesions: list[dict], statuses: tuple[str, ...]) -> float | None:
    if not lesions:
        return None
    return sum(lesion["status"] in statuses for lesion in lesions) / len(lesions)
