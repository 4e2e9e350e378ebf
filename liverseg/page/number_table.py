"""What was measured and scored, as the page's explained table."""

from ..scores.findings import Findings
from ..scores.glossary import EXPLANATIONS, format_value
from ..writing.tables import SENSELESS, Row, measured_rows, scored_rows

# Two lines of words only, for what people ask where there is a ground truth.
WORDS = (Row("empty_slice", SENSELESS, SENSELESS), Row("paper_split", SENSELESS, SENSELESS))


def number_table(findings: Findings | None) -> list[dict]:
    """Groups of lines, each number with its explanation; none before anything was measured."""
    if findings is None:
        return []
    groups = [_group("Measured", measured_rows(findings.measurements))]
    if findings.scores:
        rows = [*scored_rows(findings.scores), *WORDS]
        groups.append(_group("Against the ground truth", rows))
    return groups


def _group(name: str, rows: list[Row]) -> dict:
    return {"group": name, "rows": [_line(row) for row in rows]}


def _line(row: Row) -> dict:
    known = EXPLANATIONS[row.key]
    return {
        "name": known.name,
        "liver": _cell(row.key, row.liver),
        "tumor": _cell(row.key, row.tumor),
        "unit": known.unit,
        "why": known.sentence,
        "source": known.source,
    }


def _cell(key: str, value: float | str | None) -> str:
    return SENSELESS if isinstance(value, str) else format_value(key, value)
