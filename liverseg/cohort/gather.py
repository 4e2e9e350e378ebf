"""The studies' rows in one table: cohort.csv, and Parquet where pyarrow is installed.

Only rows are gathered, so that thousands of studies take megabytes.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .keys import Keyed
from .outliers import FAIL, PASS, REVIEW, judge
from .store import DONE, MANIFEST, ROW, folder_of, read

TABLE, PARQUET = "cohort.csv", "cohort.parquet"
FIRST = ("key", "state", "verdict", "outlier_score", "reason", "sources")
LAST = ("path", "seconds", "peak_mb", "weights", "version")


def gathered(out: Path, studies: Iterable[Keyed], show_paths: bool) -> list[dict[str, Any]]:
    """A row for each key: those that failed first, then the least usual ones.

    Args:
        out: the cohort's folder.
        studies: that belong to it; equal ones are one row.
        show_paths: whether each row says the path of its scan.
    """
    sources: dict[str, list[Keyed]] = {}
    for one in studies:
        sources.setdefault(one.key, []).append(one)
    rows = [_row(out, key, same, show_paths) for key, same in sources.items()]
    done = [row for row in rows if row["state"] == DONE]
    for row, verdict in zip(done, judge(done), strict=True):
        row |= {"verdict": verdict.verdict, "reason": verdict.reason}
        row["outlier_score"] = round(verdict.score, 3)
    order = (FAIL, REVIEW, PASS)
    return sorted(
        rows,
        key=lambda row: (
            row["state"] == DONE,
            order.index(row["verdict"]),
            -(row["outlier_score"] or 0),
            row["key"],
        ),
    )


def _row(out: Path, key: str, same: list[Keyed], show_paths: bool) -> dict[str, Any]:
    folder = folder_of(out, key)
    manifest, numbers = read(folder / MANIFEST), read(folder / ROW)
    row = {
        "key": key,
        "state": manifest.get("state", "missing"),
        "verdict": FAIL,
        "outlier_score": None,
        "reason": manifest.get("reason", ""),
        "sources": len(same),
        **numbers,
        **{name: manifest.get(name) for name in ("seconds", "peak_mb", "weights", "version")},
    }
    if show_paths:
        row["path"] = "; ".join(str(one.study.scan[0]) for one in same)
    return row


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every column that a row has, what people look at first at the left."""
    found = dict.fromkeys(name for row in rows for name in row)
    between = [name for name in found if name not in (*FIRST, *LAST)]
    return [*FIRST, *between, *(name for name in LAST if name in found)]


def write_tables(out: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Writes the table; returns the names of the files."""
    columns = columns_of(rows)
    beside = out / f".{TABLE}"
    with beside.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(out / TABLE)
    try:
        from pyarrow import Table, parquet
    except ImportError:
        return [TABLE]
    table = Table.from_pydict({name: [row.get(name) for row in rows] for name in columns})
    beside = out / f".{PARQUET}"
    parquet.write_table(table, beside)
    beside.replace(out / PARQUET)
    return [TABLE, PARQUET]
