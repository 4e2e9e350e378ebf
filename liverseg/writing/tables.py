"""Numbers to take away: the rows of the table that people read, CSV and JSON.

Nothing identifying is written: no header text, file names or UIDs.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import NamedTuple

from ..scores.findings import Findings
from ..scores.glossary import EXPLANATIONS
from ..scores.measurements import Measurements
from ..scores.metrics import Scores

DISCLAIMER = "Teaching demo, not for diagnosis."
CONVENTIONS = (
    "z counts slices from 0 at the feet; points are (z, y, x) in voxels, y to the back and x to "
    "the patient's left; lengths in mm, areas in mm², volumes in mL, densities in HU; null is "
    "undefined or unknown."
)
OVERLAP = ("dice", "iou", "precision", "recall", "f1", "accuracy", "voe", "rvd")
DISTANCES = ("assd_mm", "hd95_mm", "max_surface_mm")
SENSELESS = ""  # in place of a number that makes no sense, as the density of all tumors


class Row(NamedTuple):
    """One quantity of liver and tumors.

    Attributes:
        key: of `EXPLANATIONS`.
        liver, tumor: the number; None where it is undefined, `SENSELESS` where it makes no sense.
    """

    key: str
    liver: float | str | None
    tumor: float | str | None

    @property
    def number(self) -> float | None:
        """The one that makes sense, where only one does."""
        number = self.tumor if self.liver == SENSELESS else self.liver
        assert not isinstance(number, str)
        return number


def measured_rows(found: Measurements) -> list[Row]:
    """What was measured of the whole scan."""
    return [
        Row("liver_ml", found.liver_ml, SENSELESS),
        Row("tumor_ml", SENSELESS, found.tumor_ml),
        Row("burden_percent", SENSELESS, found.burden_percent),
        Row("liver_hu_mean", found.liver_hu_mean, SENSELESS),
    ]


def scored_rows(scores: Scores) -> list[Row]:
    """What was scored of the whole scan."""
    return [
        *(
            Row(key, getattr(scores.liver, key), getattr(scores.tumor, key))
            for key in (*OVERLAP, *DISTANCES)
        ),
        Row("lesion_precision", SENSELESS, scores.lesions.precision),
        Row("lesion_recall", SENSELESS, scores.lesions.recall),
    ]


def further_rows(findings: Findings) -> list[Row]:
    """What was scored beside `Findings.scores`: surface Dice, and tumors one by one."""
    rows = []
    if findings.surface_dice:
        liver, tumor = map(vars, findings.surface_dice)
        rows += [Row(key, liver[key], tumor[key]) for key in liver]
    if findings.quality:
        rows += [Row(key, SENSELESS, value) for key, value in vars(findings.quality).items()]
    return rows


def to_json(findings: Findings) -> str:
    """Everything measured and scored, as JSON text."""
    volume, scores = findings.volume, findings.scores
    report = {
        "disclaimer": DISCLAIMER,
        "scan": findings.name,
        "weights": findings.identity,
        "conventions": CONVENTIONS,
        "shape_zyx": list(volume.shape),
        "spacing_zyx_mm": list(volume.spacing) if volume.spacing else None,
        "notices": findings.notices,
        "measurements": findings.measurements.to_dict(),
        "scores": scores.to_dict() if scores else None,
        "surface_dice": _surface_dice(findings),
        "lesion_quality": vars(findings.quality) if findings.quality else None,
    }
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(findings: Findings) -> str:
    """The chief numbers of `to_json` for a spreadsheet: one a row, slices counted from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("quantity", "tumor", "slice", "value", "unit"))
    writer.writerows(_measurement_lines(findings.measurements))
    if findings.scores:
        writer.writerows(_score_lines(findings.scores))
    writer.writerows(_further_lines(findings))
    writer.writerow(("Scan", "", "", findings.name, ""))
    writer.writerow(("Weights", "", "", findings.identity, ""))
    for sentence in [*findings.notices, DISCLAIMER]:
        writer.writerow(("Note", "", "", sentence, ""))
    return text.getvalue()


def _measurement_lines(found: Measurements) -> Iterator[tuple]:
    for row in measured_rows(found):
        yield _line(row.key, row.number)
    yield "Tumors", "", "", len(found.lesions), ""
    for lesion in found.lesions:
        for key in ("volume_ml", "long_axis_mm", "short_axis_mm", "hu_mean"):
            yield _line(key, getattr(lesion, key), tumor=lesion.number)
        yield "First slice", lesion.number, "", lesion.first_slice + 1, ""
        yield "Last slice", lesion.number, "", lesion.last_slice + 1, ""
    for name, areas in (("Liver", found.liver_area_mm2), ("Tumor", found.tumor_area_mm2)):
        for number, area in enumerate(areas or (), start=1):
            yield f"{name} area", "", number, area, "mm²"


def _score_lines(scores: Scores) -> Iterator[tuple]:
    for structure in ("liver", "tumor"):
        for key, value in vars(getattr(scores, structure)).items():
            yield _line(key, value, structure)
    yield _line("lesion_precision", scores.lesions.precision)
    yield _line("lesion_recall", scores.lesions.recall)
    for match in scores.lesions.predicted:
        yield "Status", match.number, "", match.status, ""
    for one in scores.slices:
        for structure in ("liver", "tumor"):
            yield _line("dice", getattr(one, structure).dice, structure, number=one.z + 1)


def _surface_dice(findings: Findings) -> dict | None:
    if findings.surface_dice is None:
        return None
    return dict(zip(("liver", "tumor"), map(vars, findings.surface_dice), strict=True))


def _further_lines(findings: Findings) -> Iterator[tuple]:
    for row in further_rows(findings):
        if row.liver == SENSELESS:
            yield _line(row.key, row.number)
        else:
            for structure in ("liver", "tumor"):
                yield _line(row.key, getattr(row, structure), structure)


def _line(
    key: str,
    value: float | None,
    structure: str = "",
    tumor: int | str = "",
    number: int | str = "",
) -> tuple:
    known = EXPLANATIONS[key]
    name = f"{known.name}, {structure}" if structure else known.name
    return name, tumor, number, "" if value is None else value, known.unit
