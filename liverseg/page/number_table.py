"""A study as words and numbers for the page: an explained table."""

from ..scores.glossary import EXPLANATIONS, written
from ..scores.measurements import Measurements
from ..scores.metrics import Scores
from .visitors import Study

OVERLAP = ("dice", "iou", "precision", "recall", "f1", "accuracy", "voe", "rvd")
DISTANCES = ("assd_mm", "hd95_mm", "max_surface_mm")


def number_table(study: Study) -> list[dict]:
    """What was measured and, with ground truth, scored, each number with its explanation."""
    groups = []
    if study.measurements:
        groups.append({"group": "Measured", "rows": _measured(study.measurements)})
    if study.scores:
        groups.append({"group": "Against the ground truth", "rows": _scored(study.scores)})
    return groups


def _measured(found: Measurements) -> list[dict]:
    return [
        _row("liver_ml", found.liver_ml, ""),
        _row("tumor_ml", "", found.tumor_ml),
        _row("burden_percent", "", found.burden_percent),
        _row("liver_hu_mean", found.liver_hu_mean, ""),
    ]


def _scored(scores: Scores) -> list[dict]:
    both = [_row(key, getattr(scores.liver, key), getattr(scores.tumor, key)) for key in OVERLAP]
    both += [_row(key, getattr(scores.liver, key), getattr(scores.tumor, key)) for key in DISTANCES]
    return [
        *both,
        _row("lesion_precision", "", scores.lesions.precision),
        _row("lesion_recall", "", scores.lesions.recall),
        _row("empty_slice", "", ""),
        _row("paper_split", "", ""),
    ]


def _row(key: str, liver: float | str | None, tumor: float | str | None) -> dict:
    """One line; "" where a number makes no sense, None where it is undefined."""
    known = EXPLANATIONS[key]
    return {
        "name": known.name,
        "liver": liver if liver == "" else written(key, liver),
        "tumor": tumor if tumor == "" else written(key, tumor),
        "unit": known.unit,
        "why": known.sentence,
        "source": known.source,
    }
