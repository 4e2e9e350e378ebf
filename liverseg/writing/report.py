"""A report on one printable page: pictures, numbers, what they mean and what was assumed.

One HTML file that holds everything it shows; it asks for nothing from any server.
"""

import base64
from html import escape
from pathlib import Path
from string import Template

from ..scores.findings import Findings
from ..scores.glossary import EXPLANATIONS, STATUS_WORDS, format_value
from ..scores.measurements import Measurements
from ..scores.metrics import Scores
from ..volume import describe
from . import colors
from .slice_picture import snapshot
from .tables import DISCLAIMER, SENSELESS, further_rows, measured_rows, scored_rows

TEMPLATE = Path(__file__).with_name("report_template.html")
MOST_TUMORS = 6  # what fits on the page; the CSV has them all
SAID_TWICE = (
    "f1",
    "accuracy",
    "max_surface_mm",
    "nsd_3mm",
)  # by others, or of little use: in the CSV
TUMOR_COLUMNS = ("volume_ml", "long_axis_mm", "short_axis_mm", "hu_mean")


def report(findings: Findings) -> str:
    """The report as HTML text."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        disclaimer=DISCLAIMER,
        scan=escape(f"{findings.name}: {describe(findings.volume)}"),
        pictures=_pictures(findings),
        legend=_legend(findings.truth is not None),
        measurements=_measurement_table(findings.measurements),
        scores=_score_table(findings) if findings.scores else "",
        tumors=_tumor_table(findings.measurements, findings.scores),
        notices=_notice_list(findings.notices),
        explanations=_explanations(findings.scores is not None),
        identity=escape(findings.identity),
    )


def _pictures(findings: Findings) -> str:
    """Figures of the slices with the largest liver and the largest tumor area."""
    volume, prediction = findings.volume, findings.prediction
    figures = []
    for mask, what in ((prediction.liver, "liver"), (prediction.tumor, "tumor")):
        areas = mask.sum(axis=(1, 2))
        if areas.any():
            z, caption = int(areas.argmax()), f"largest {what} area"
        elif what == "liver":
            z, caption = volume.shape[0] // 2, "no liver was found"
        else:
            continue
        png = base64.b64encode(snapshot(volume, z, prediction, findings.truth)).decode()
        caption = f"Slice {z + 1} of {volume.shape[0]}: {caption}"
        figures.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{png}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return "".join(figures)


def _legend(with_truth: bool) -> str:
    entries = [("Liver", colors.LIVER), ("Tumor", colors.TUMOR)]
    entries += [("Ground truth", colors.TRUTH)] * with_truth
    return "".join(f'<span style="--color: {color}">{name}</span>' for name, color in entries)


def _measurement_table(found: Measurements) -> str:
    rows = [
        _row(EXPLANATIONS[row.key].name, format_value(row.key, row.number, unit=True))
        for row in measured_rows(found)
    ]
    rows.insert(2, _row("Tumors", str(len(found.lesions))))
    return f"<h2>Measurements</h2><table><tbody>{''.join(rows)}</tbody></table>"


def _score_table(findings: Findings) -> str:
    assert findings.scores is not None
    scored = [*scored_rows(findings.scores), *further_rows(findings)]
    rows = [
        _row(
            EXPLANATIONS[row.key].name,
            *(
                SENSELESS if isinstance(value, str) else format_value(row.key, value, unit=True)
                for value in (row.liver, row.tumor)
            ),
        )
        for row in scored
        if row.key not in SAID_TWICE
    ]
    return "<h2>Against the ground truth</h2>" + _table(("", "Liver", "Tumors"), rows)


def _tumor_table(found: Measurements, scores: Scores | None) -> str:
    if not found.lesions:
        return ""
    rows = []
    for lesion in found.lesions[:MOST_TUMORS]:
        values = [format_value(key, getattr(lesion, key), unit=True) for key in TUMOR_COLUMNS]
        numbers = dict.fromkeys((lesion.first_slice + 1, lesion.last_slice + 1))
        values.append("–".join(map(str, numbers)))
        if scores:
            values.append(STATUS_WORDS[scores.lesions.predicted[lesion.number - 1].status])
        rows.append(_row(str(lesion.number), *values))
    names = [EXPLANATIONS[key].name for key in TUMOR_COLUMNS]
    table = _table(("Tumor", *names, "Slices", *(["Status"] * bool(scores))), rows)
    hidden = len(found.lesions) - MOST_TUMORS
    more = f'<p class="muted">{hidden} smaller ones are in the CSV.</p>' if hidden > 0 else ""
    return f"<h2>Tumors, the largest first</h2>{table}{more}"


def _notice_list(sentences: list[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<h2>What was assumed</h2><ul class="small">{items}</ul>'


def _explanations(with_scores: bool) -> str:
    keys = ["burden_percent", "long_axis_mm", "short_axis_mm"]
    if with_scores:
        keys = ["dice", "precision", "recall", "assd_mm", "hd95_mm", "lesion_recall", *keys]
    return "".join(
        f"<li><b>{known.name}</b>: {known.sentence} <i>{known.source}.</i></li>"
        for known in map(EXPLANATIONS.__getitem__, keys)
    )


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(name: str, *values: str) -> str:
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'
