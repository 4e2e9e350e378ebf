"""The command `publish`: measured numbers as text, for the README, the model card and the page.

    python -m liverseg publish

Numbers come from results.json, ablations.json, speed.json and viewer.json in weights/ and are typed
in nowhere. Results count only for exactly the weights and thresholds that are here.
"""

import argparse
import re
from pathlib import Path

from ..network.weights import NETWORKS, Weights, load_config
from ..scores.glossary import UNDEFINED, format_value
from ..scores.results import evaluations, sentences
from .model_card import interval, judged, model_card

ABLATIONS, SPEED_FILE, VIEWER_FILE = "ablations.json", "speed.json", "viewer.json"
README = Path(__file__).resolve().parents[2] / "README.md"


def results_text(weights: Weights) -> str:
    """Markdown: Dice by the paper's protocol and on patients never seen, side by side."""
    protocols = weights.measured(ABLATIONS).get("paper_protocol", {})
    found = next(iter(evaluations(weights)), None)
    lines = [
        _line("Dice", "the paper's protocol", "same measure", "whole scans"),
        _line("patients", "known to the networks", "never seen", "never seen"),
    ]
    lines.insert(1, "|---" * 4 + "|")
    for network in NETWORKS:
        dice = found.summary[network]["dice"] if found else None
        if network in protocols:
            protocol = {key: _dice(value) for key, value in protocols[network].items()}
            lines += [
                _line(f"{network}, the paper reports", protocol["reported"]),
                _line(
                    f"{network}, reproduced here on a small scale",
                    *(protocol[key] for key in ("copies", "never_seen", "whole_scans")),
                ),
            ]
        reached = f"{_dice(dice['mean'])} ({interval('dice', dice['ci95'])})" if dice else UNDEFINED
        lines.append(_line(f"{network}, **liverseg**", UNDEFINED, UNDEFINED, reached))
    words = [*sentences(weights), judged(weights)]
    return "\n".join([*lines, "", *filter(None, words), *_protocol_words(weights)])


def _line(name: str, *cells: str) -> str:
    return f"| {' | '.join([name, *cells, *[UNDEFINED] * (3 - len(cells))])} |"


def _dice(score: float | None) -> str:
    return format_value("dice", score)


def _protocol_words(weights: Weights) -> list[str]:
    ablations = weights.measured(ABLATIONS)
    if "paper_protocol" not in ablations:
        return []
    slices = ablations["paper_protocol"]["tumor"]["slices"]
    return [
        "",
        f"Reproduced: {slices} slices with tumors, equalized, turned every 10 degrees, and these "
        "copies split at random; tumor input multiplied by the true liver; soft Dice over batches "
        "of 8. The same measure on slices of the validation patients shows what the split alone "
        "gives; their whole scans, with the predicted liver in the true one's place, what a new "
        f"patient gets. liverseg's ResUNet at {_settings(ablations)}: compare within a row.",
    ]


def _settings(ablations: dict) -> str:
    recipe, stage = ablations["settings"]["recipe"], ablations["settings"]["stage"]
    return (
        f"{stage['size']} × {stage['size']} pixels with {recipe['filters'][0]} to "
        f"{recipe['filters'][-1]} channels for {stage['steps']} steps of {stage['batch']}"
    )


def ablation_text(weights: Weights) -> str:
    """Markdown: what each choice is worth on the validation patients."""
    ablations = weights.measured(ABLATIONS)
    if not ablations.get("rows"):
        return "No ablations have been run."
    lines = ["| network | changed | val Dice | difference |", "|---|---|---|---|"]
    rows = ablations["rows"]
    base = {row["network"]: row["dice"] for row in rows if row["name"] == "base"}
    for row in sorted(rows, key=lambda row: NETWORKS.index(row["network"])):
        difference = row["dice"] - base[row["network"]]
        shown = UNDEFINED if row["name"] == "base" else f"{difference:+z.3f}"
        lines.append(f"| {row['network']} | {row['change']} | {_dice(row['dice'])} | {shown} |")
    settings = ablations["settings"]
    words = (
        f"Each row is one training at {_settings(ablations)}, on {len(settings['train'])} "
        f"patients, scored on the {len(settings['val'])} validation patients at the threshold that "
        "is best for the row, tumors inside the true liver. With one training a row, a difference "
        "no larger than that of another seed says nothing."
    )
    return "\n".join([*lines, "", words])


def speed_text(weights: Weights) -> str:
    """Markdown: the tables of `python -m tests.benchmarks.speed`."""
    return _tables_text(weights, SPEED_FILE)


def viewer_text(weights: Weights) -> str:
    """Markdown: the tables of tests/benchmarks/viewer.py."""
    return _tables_text(weights, VIEWER_FILE)


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
        "results": results_text,
        "ablations": ablation_text,
        "speed": speed_text,
        "viewer": viewer_text,
    }

    def fill(mark: re.Match) -> str:
        return f"{mark[1]}\n{parts[mark[2]](weights)}\n{mark[3]}"

    pattern = r"(<!-- measured: (\w+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, fill, text, flags=re.DOTALL)


def main(argv: list[str]) -> None:
    """Runs the command: writes README.md and the weights' model card anew."""
    parser = argparse.ArgumentParser(prog="python -m liverseg publish", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="their folder")
    parser.add_argument("--readme", type=Path, default=README)
    args = parser.parse_args(argv)
    weights = load_config(args.weights)
    text = args.readme.read_text(encoding="utf-8")
    args.readme.write_text(filled(text, weights), encoding="utf-8")
    card = weights.folder / "README.md"
    card.write_text(str(model_card(weights)), encoding="utf-8")
