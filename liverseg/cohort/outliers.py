"""Which studies are unlike the others, and by what: PASS, REVIEW or FAIL with the reason in words.

A robust z is the distance from the median in units of the usual scatter, 0.6745 (x - median) / MAD
(Iglewicz and Hoaglin, 1993). scikit-learn's IsolationForest, which looks at all numbers of a study
together, is the second opinion: what one of the two finds unusual is to be reviewed, and what both
do has failed (as pySegQC does it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scores.glossary import EXPLANATIONS
from ..sentences import Sentence, say

PASS, REVIEW, FAIL = "PASS", "REVIEW", "FAIL"
UNUSUAL_Z = 3.5  # Iglewicz and Hoaglin's
FEWEST = 8  # studies, below which nothing is usual
FOREST_SHARE = 0.05  # of the studies that the second opinion finds unusual
MEAN_DEVIATION = 1.2533  # of a normal distribution: its standard deviation over its mean deviation

LOW, HIGH, BOTH = -1, 1, 0  # which side is bad
METRICS = {
    "liver_dice": LOW,
    "tumor_dice": LOW,
    "liver_hd95_mm": HIGH,
    "tumor_hd95_mm": HIGH,
    "liver_nsd_2mm": LOW,
    "liver_rvd": BOTH,
    "panoptic_quality": LOW,
    "missed_tumors": HIGH,
    "false_tumors": HIGH,
    "liver_ml": BOTH,
    "tumor_ml": HIGH,
    "burden_percent": HIGH,
    "tumors": HIGH,
    "liver_parts": HIGH,
    "liver_hu_mean": BOTH,
    "liver_hu_sd": HIGH,
    "uncertain_share": HIGH,
}
COUNTS = {
    "missed_tumors": "Missed tumors",
    "false_tumors": "False tumors",
    "tumors": "Tumors",
    "liver_parts": "Parts of the liver",
    "uncertain_share": "Uncertain share of the liver",
    "liver_hu_sd": "Scatter of the liver's density",
}


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a study.

    Attributes:
        verdict: `PASS`, `REVIEW` or `FAIL`.
        score: the largest robust z of its numbers on their bad sides; 0 where none is.
        reason: in words; empty for what passes.
    """

    verdict: str
    score: float
    reason: str = ""


def name_of(key: str) -> str:
    """How a metric is called."""
    if key in COUNTS:
        return COUNTS[key]
    structure, _, rest = key.partition("_")
    if key not in EXPLANATIONS and rest in EXPLANATIONS:
        return f"{EXPLANATIONS[rest].name}, {structure}"
    return EXPLANATIONS[key].name


def judge(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judges studies by their `row.row_of`, in the same order."""
    table = {key: _column(rows, key) for key in METRICS if any(key in row for row in rows)}
    scores = {key: _badness(values, METRICS[key]) for key, values in table.items()}
    second = _second_opinion(table, len(rows))
    return [
        _verdict(row, {key: z[k] for key, z in scores.items()}, table, bool(second[k]))
        for k, row in enumerate(rows)
    ]


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(studies,) float, NaN where undefined."""
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], float)


def robust_z(values: np.ndarray) -> np.ndarray:
    """(n,) float; NaN where the value is, 0 where too few are known or all are one.

    Where more than half are one value the median deviation is 0, and the mean deviation stands in.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return np.where(np.isfinite(values), 0.0, np.nan)
    median = np.median(known)
    deviations = np.abs(known - median)
    scale = np.median(deviations) / 0.6745 or MEAN_DEVIATION * deviations.mean()
    return (values - median) / scale if scale else np.where(np.isfinite(values), 0.0, np.nan)


def _badness(values: np.ndarray, side: int) -> np.ndarray:
    z = robust_z(values)
    return np.nan_to_num(np.abs(z) if side == BOTH else np.maximum(0, side * z)) + 0.0  # no -0


def _second_opinion(table: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """(studies,) bool; nothing where scikit-learn is not installed or studies are few."""
    if count < FEWEST or not table:
        return np.zeros(count, bool)
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError:
        return np.zeros(count, bool)
    numbers = np.stack(list(table.values()), axis=1)
    filled = [robust_z(column) for column in numbers.T]
    features = np.nan_to_num(np.stack(filled, axis=1))  # what is unknown is nothing unusual
    if not features.any():
        return np.zeros(count, bool)
    forest = IsolationForest(contamination=FOREST_SHARE, random_state=0)
    return forest.fit_predict(features) < 0


def has_second_opinion() -> bool:
    """Whether scikit-learn is here."""
    try:
        import sklearn.ensemble  # noqa: F401
    except ImportError:
        return False
    return True


def _verdict(
    row: Mapping[str, Any],
    scores: Mapping[str, float],
    table: Mapping[str, np.ndarray],
    second: bool,
) -> Verdict:
    if row.get("liver_parts") == 0:
        return Verdict(FAIL, max(scores.values(), default=0), say("cohort.no_liver"))
    worst = max(scores, key=lambda key: scores[key], default="")
    score = scores.get(worst, 0.0)
    first = score > UNUSUAL_Z
    reasons = []
    if first:
        reasons.append(_unusual(worst, row[worst], float(np.nanmedian(table[worst]))))
    if second:
        reasons.append(say("cohort.unusual_together"))
    if row.get("cut_by_end"):
        reasons.append(say("cohort.cut"))
    verdict = FAIL if first and second else REVIEW if reasons else PASS
    return Verdict(verdict, score, " ".join(reasons))


def _unusual(key: str, value: float, median: float) -> Sentence:
    code = "cohort.far_above" if value > median else "cohort.far_below"
    return say(code, name=name_of(key), value=float(value), median=median)
