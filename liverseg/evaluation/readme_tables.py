"""The command `publish`: measured numbers as text, for the README, the model card and the page.

    python -m liverseg publish

Numbers come from the JSON files in weights/ and are typed in nowhere. Results count only for
exactly the weights and thresholds that are here.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from ..errors import WeightsError
from ..network.weights import Weights, load_config
from ..scores.glossary import format_value
from ..scores.results import ENGINES
from ..sentences import say
from .consistency import differences
from .model_card import model_card
from .summary import SIZES_MM
from .tables import interval, reach_text

SPEED_FILE, VIEWER_FILE, LOAD_FILE = "speed.json", "viewer.json", "load.json"
AGREEMENT_FILE, COHORT_FILE = "agreement.json", "cohort.json"
ROOT = Path(__file__).resolve().parents[2]
README, BENCHMARKS = ROOT / "README.md", ROOT / "tests" / "benchmarks" / "README.md"


def speed_text(weights: Weights) -> str:
    """Markdown: the tables of `python -m tests.benchmarks.speed`."""
    return _tables_text(weights, SPEED_FILE)


def viewer_text(weights: Weights) -> str:
    """Markdown: the tables of `python -m tests.benchmarks.viewer`."""
    return _tables_text(weights, VIEWER_FILE)


def load_text(weights: Weights) -> str:
    """Markdown: the tables of `python -m tests.benchmarks.load`."""
    return _tables_text(weights, LOAD_FILE)


def cohort_text(weights: Weights) -> str:
    """Markdown: the tables of `python -m tests.benchmarks.cohort`."""
    return _tables_text(weights, COHORT_FILE)


def agreement_text(weights: Weights) -> str:
    """Markdown: how alike the engines' masks are (see `tests.benchmarks.agreement`)."""
    found = weights.measured(AGREEMENT_FILE)
    now = {
        engine: f"{engine}-{weights.identity(keys)}"
        for engine, keys in ENGINES.items()
        if set(keys) <= set(weights.files)
    }
    if not found or found["weights"] != now:
        return "Not measured with these weights."
    scans = found["scans"]
    liver, tumor = (
        _range([scan[n] for scan in scans if scan[n] is not None]) for n in ("liver", "tumor")
    )
    tumors = [one for scan in scans for one in scan["tumors"]]
    rows = []
    for size, (low, high) in SIZES_MM.items():
        of_size = [one["dice"] for one in tumors if low <= one["mm"] < high]
        in_both = [dice for dice in of_size if dice]
        middle = format_value("dice", float(np.median(in_both)) if in_both else None)
        rows.append([size, f"{len(in_both)} of {len(of_size)}", middle, _range(in_both)])
    heads = [
        "diameter, as a ball",
        "marked by both engines",
        "Dice there, median",
        "range",
    ]
    words = (
        f"Of {len(scans)} scans of validation patients, Dice between the two engines' masks is "
        f"{liver} for livers and {tumor} for the tumors of a scan. The smaller a tumor, the more a "
        "voxel counts, and what only just reaches a threshold is marked by one engine alone:"
    )
    table = {"title": "Tumors that either engine marks", "heads": heads, "rows": rows}
    return f"{words}\n\n{table_text(table)}".strip()


def _range(values: list[float]) -> str:
    if values and format_value("dice", min(values)) == format_value("dice", max(values)):
        return format_value("dice", min(values))
    return interval("dice", [min(values), max(values)] if values else None)


def _tables_text(weights: Weights, name: str) -> str:
    tables = weights.measured(name)
    return "\n".join(map(table_text, tables)).strip() if tables else "Not measured yet."


def table_text(table: dict) -> str:
    """A table {"title", "heads", "rows"} as Markdown."""
    lines = [table["heads"], ["---"] * len(table["heads"]), *table["rows"]]
    return f"**{table['title']}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(text: str, weights: Weights) -> str:
    """A Markdown text with the marked parts made anew; KeyError where a mark is unknown.

    A marked part lies between `<!-- measured: NAME -->` and `<!-- end -->`.
    """
    parts = {
        "reach": reach_text,
        "speed": speed_text,
        "viewer": viewer_text,
        "load": load_text,
        "cohort": cohort_text,
        "agreement": agreement_text,
    }

    def fill(mark: re.Match) -> str:
        return f"{mark[1]}\n{parts[mark[2]](weights)}\n{mark[3]}"

    pattern = r"(<!-- measured: (\w+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, fill, text, flags=re.DOTALL)


def main(argv: list[str]) -> None:
    """Runs the command: writes the READMEs and the weights' model card anew."""
    parser = argparse.ArgumentParser(prog="python -m liverseg publish", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="their folder")
    parser.add_argument("--readme", type=Path, nargs="+", default=[README, BENCHMARKS])
    args = parser.parse_args(argv)
    weights = load_config(args.weights)
    wrong = differences(weights)
    if wrong:
        raise WeightsError(say("weights.numbers_differ", places=tuple(wrong)))
    for readme in args.readme:
        text = readme.read_text(encoding="utf-8")
        readme.write_text(filled(text, weights), encoding="utf-8")
    card = weights.folder / "README.md"
    card.write_text(str(model_card(weights)), encoding="utf-8")
