"""The cohort on one page that asks for nothing from any network: the least usual studies first.

The numbers are in the page, the thumbnails beside it. Nothing in it names a patient; paths of files
are in it only where they were asked for.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from .. import __version__
from ..sentences import Sentence, say
from ..writing import colors
from ..writing.tables import DISCLAIMER
from .gather import columns_of
from .outliers import COUNTS, FEWEST, METRICS, has_second_opinion, name_of
from .store import DONE, STUDIES, THUMBNAIL, folder_of

REPORT = "report.html"
HERE = Path(__file__).parent
DIGITS = 4  # significant ones of a number in the page; the table has them all


def write_report(out: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes report.html beside the studies; `rows` as `gather.gathered` orders them."""
    done = [row["key"] for row in rows if row["state"] == DONE]
    has_reports = bool(done) and all((folder_of(out, key) / REPORT).is_file() for key in done)
    beside = out / f".{REPORT}"
    beside.write_text(report(rows, has_reports), encoding="utf-8")
    return beside.replace(out / REPORT)


def report(rows: Sequence[Mapping[str, Any]], has_reports: bool = False) -> str:
    """The page as HTML text; `has_reports` where each study has one of its own."""
    template = Template((HERE / "report_template.html").read_text(encoding="utf-8"))
    return template.substitute(
        disclaimer=DISCLAIMER,
        version=__version__,
        notes="".join(f"<p>{escape(note)}</p>" for note in _notes(rows)),
        data=_for_script(_data(rows, has_reports)),
        script=(HERE / "report.js").read_text(encoding="utf-8"),
        plotly=_for_script(_plotly()),
    )


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    notes = []
    if sum(row["state"] == DONE for row in rows) < FEWEST:
        notes.append(say("cohort.few_studies", fewest=FEWEST))
    elif not has_second_opinion():
        notes.append(say("cohort.one_opinion"))
    return notes


def _data(rows: Sequence[Mapping[str, Any]], has_reports: bool) -> dict[str, Any]:
    """By column, so that no name is repeated 5,000 times."""
    columns = columns_of(rows)
    return {
        "studies": STUDIES,
        "thumbnail": THUMBNAIL,
        "files": [["report.html", "Its report"]] * has_reports + [["", "Its files"]],
        "color": colors.LIVER,
        "marked": colors.FALSE_POSITIVE,
        "columns": columns,
        "rows": [[_short(row.get(name)) for name in columns] for row in rows],
        "names": {key: name_of(key) for key in {**METRICS, **COUNTS} if key in columns},
        "charts": [key for key in METRICS if any(row.get(key) is not None for row in rows)],
    }


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _for_script(plain: Any) -> str:
    """As JSON in which no text can end the element that holds it."""
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _plotly() -> str:
    """Plotly's script; without it, where it is not installed, the page has no charts."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return ""
    return get_plotlyjs()
