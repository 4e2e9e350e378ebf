"""A report on one printable page: pictures, numbers, what they mean and what was assumed.

One HTML file that holds everything it shows; it asks for nothing from any server.
"""

import base64
from html import escape
from pathlib import Path
from string import Template

from ..scores.glossary import EXPLANATIONS, STATUS_WORDS, written
from ..scores.measurements import Measurements
from ..scores.metrics import Scores
from ..volume import Segmentation, Volume, describe, notices
from . import colors
from .export import DISCLAIMER
from .slice_picture import snapshot

TEMPLATE = Path(__file__).with_name("report_template.html")
MOST_TUMORS = 6  # what fits on the page; the CSV has them all
MEASURED = ("liver_ml", "tumor_ml", "burden_percent", "liver_hu_mean")
SCORED = ("dice", "iou", "precision", "recall", "voe", "rvd", "assd_mm", "hd95_mm")
TUMOR_COLUMNS = ("volume_ml", "long_axis_mm", "short_axis_mm", "hu_mean")


def report(
    volume: Volume,
    segmentation: Segmentation,
    measurements: Measurements,
    scores: Scores | None,
    identity: str,
    truth: Segmentation | None = None,
) -> str:
    """The report as HTML text.

    Args:
        volume, segmentation: to be shown.
        measurements: of the segmentation.
        scores: None where there is no ground truth.
        identity: of the weights.
        truth: to be outlined.
    """
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        disclaimer=DISCLAIMER,
        scan=escape(describe(volume)),
        pictures=_pictures(volume, segmentation, truth),
        legend=_legend(truth is not None),
        measurements=_measurement_table(measurements),
        scores=_score_table(scores) if scores else "",
        tumors=_tumor_table(measurements, scores),
        notices=_notice_list(notices(volume, truth, segmentation)),
        explanations=_explanations(scores is not None),
        identity=escape(identity),
    )


def _pictures(volume: Volume, segmentation: Segmentation, truth: Segmentation | None) -> str:
    """Figures of the slices with the largest liver and the largest tumor area."""
    figures = []
    for mask, what in ((segmentation.liver, "liver"), (segmentation.tumor, "tumor")):
        areas = mask.sum(axis=(1, 2))
        if areas.any():
            z, caption = int(areas.argmax()), f"largest {what} area"
        elif what == "liver":
            z, caption = volume.shape[0] // 2, "no liver was found"
        else:
            continue
        png = base64.b64encode(snapshot(volume, z, segmentation, truth)).decode()
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
        _row(EXPLANATIONS[key].name, written(key, getattr(found, key), unit=True))
        for key in MEASURED
    ]
    rows.insert(2, _row("Tumors", str(len(found.lesions))))
    return f"<h2>Measurements</h2><table><tbody>{''.join(rows)}</tbody></table>"


def _score_table(scores: Scores) -> str:
    rows = [
        _row(
            EXPLANATIONS[key].name,
            written(key, getattr(scores.liver, key), unit=True),
            written(key, getattr(scores.tumor, key), unit=True),
        )
        for key in SCORED
    ]
    for key in ("precision", "recall"):
        value = written(f"lesion_{key}", getattr(scores.lesions, key), unit=True)
        rows.append(_row(EXPLANATIONS[f"lesion_{key}"].name, "", value))
    return "<h2>Against the ground truth</h2>" + _table(("", "Liver", "Tumors"), rows)


def _tumor_table(found: Measurements, scores: Scores | None) -> str:
    if not found.lesions:
        return ""
    rows = []
    for lesion in found.lesions[:MOST_TUMORS]:
        values = [written(key, getattr(lesion, key), unit=True) for key in TUMOR_COLUMNS]
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
        for known in map(EXPLANATIONS.get, keys)
    )


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(name: str, *values: str) -> str:
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'
