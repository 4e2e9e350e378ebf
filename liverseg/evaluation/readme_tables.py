"""The command `publish`: measured numbers as text, for the README, the model card and the page.

    python -m liverseg publish

Numbers come from the JSON files in weights/ and are typed in nowhere. Results count only for
exactly the weights and thresholds that are here.
"""

import argparse
import re
from pathlib import Path

from ..errors import WeightsError
from ..network.weights import Weights, load_config
from ..sentences import say
from .consistency import differences
from .model_card import model_card
from .tables import reach_text

SPEED_FILE, VIEWER_FILE, LOAD_FILE = "speed.json", "viewer.json", "load.json"
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
