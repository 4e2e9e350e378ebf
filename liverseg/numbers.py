"""A study as words and numbers for the page: what is open, a headline, a table with explanations."""

from .studies import Study
from .volume import Spacing, Volume

UNDEFINED = "–"


def describe(volume: Volume) -> str:
    """One line about a scan: "129 slices, 512×512, voxels 0.57 × 0.57 × 1.60 mm"."""
    slices, rows, columns = volume.shape
    count = "1 slice" if slices == 1 else f"{slices} slices"
    return f"{count}, {columns}×{rows}, {_voxels(volume.spacing)}"


def _voxels(spacing: Spacing | None) -> str:
    if spacing is None:
        return "size unknown"
    if spacing.z is None:
        return f"pixels {spacing.x:.2f} × {spacing.y:.2f} mm"
    return f"voxels {spacing.x:.2f} × {spacing.y:.2f} × {spacing.z:.2f} mm"


def number(value: float | None, digits: int) -> str:
    """A number as the page shows it; a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:,.{digits}f}"


def headline(study: Study | None) -> list[dict]:
    """The five numbers that stand below the picture; dashes until they are known."""
    found = study and study.measurements
    scores = study and study.scores
    tiles = [
        ("Liver", number(found and found.liver_ml, 0), "mL"),
        ("Tumors", str(len(found.lesions)) if found else UNDEFINED, ""),
        ("Tumor burden", number(found and found.burden_percent, 1), "%"),
        ("Dice, liver", number(scores and scores.liver.dice, 3), ""),
        ("Dice, tumors", number(scores and scores.tumor.dice, 3), ""),
    ]
    return [{"label": label, "value": value, "unit": unit} for label, value, unit in tiles]


def notices(study: Study) -> list[str]:
    """Every choice that was made for the person, each once."""
    parts = (study.volume, study.truth, study.prediction)
    return list(dict.fromkeys(text for part in parts if part for text in part.notices))


def number_table(study: Study) -> list[dict]:
    return []
