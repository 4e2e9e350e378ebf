"""Measured numbers as Markdown: what is reached, the paper's protocol, what choices are worth."""

from collections.abc import Iterable
from dataclasses import asdict

from ..network.weights import NETWORKS, RESULTS, Weights
from ..scores.glossary import UNDEFINED, format_value
from ..scores.results import evaluations, false_tumor, sentences
from ..training.split import patient_of
from ..training.stages import STAGES, TRAIN, Stage

ABLATIONS = "ablations.json"
INTERVALS = (
    "In brackets is the 95 % interval of the mean; Dice is 1 for a mask that equals the truth."
)


def reach_text(weights: Weights) -> str:
    """What patients reach whom the networks never saw, beside what the paper reports."""
    found = next(iter(evaluations(weights)), None)
    protocols = weights.measured(ABLATIONS).get("paper_protocol", {})
    count = f"{found.summary['patients']} patients" if found else "patients"
    lines = [
        f"| Dice | {count} never seen | the worst of them | the paper, on copies of known slices |",
        "|---|---|---|---|",
    ]
    for network in NETWORKS:
        dice = found.summary[network]["dice"] if found else None
        reached, worst = UNDEFINED, UNDEFINED
        if dice and dice["n"]:
            reached = f"**{_dice(dice['mean'])}** ({interval('dice', dice['ci95'])})"
            worst = _dice(dice["range"][0])
        reported = _dice(protocols.get(network, {}).get("reported"))
        lines.append(f"| {network} | {reached} | {worst} | {reported} |")
    words = [*sentences(weights)[:1], held_out_text(weights), steered_text(weights)]
    return "\n".join([*lines, "", *filter(None, words), INTERVALS, origin_text(weights)])


def origin_text(weights: Weights) -> str:
    """Which program made the weights, and what is known of what `train` makes."""
    if weights.trained.get("command") == TRAIN:
        return f"The weights were made by `{TRAIN}`."
    stages = weights.trained.get("stages")
    if not stages:
        return "Nothing says which program made the weights."
    made, here = ([_samples(where[network]) for network in NETWORKS] for where in (stages, STAGES))
    return (
        f"The weights were not made by `{TRAIN}` but by a training script of another framework, "
        "which is not in the repository, "
        f"from {made[0]} thousand samples for the liver and {made[1]} thousand for tumors; `train` "
        f"draws {here[0]} and {here[1]} thousand, and what it reaches has not been measured."
    )


def _samples(stages: Iterable[dict | Stage]) -> int:
    """How many samples some stages draw, in thousands."""
    known = (stage if isinstance(stage, dict) else asdict(stage) for stage in stages)
    return round(sum(stage["steps"] * stage["batch"] for stage in known) / 1000)


def looks(weights: Weights) -> list[dict]:
    """The looks at the test patients while these weights came about, the first one first."""
    return weights.measured(RESULTS).get("looks", [])


def recipes_tested(weights: Weights) -> int:
    """How many weights and recipes were scored on the test patients, one after another."""
    return sum("again" not in look for look in looks(weights))


def steered_text(weights: Weights) -> str:
    """Whether the test patients are free of what was chosen; "" where they were seen once."""
    count = recipes_tested(weights)
    if count < 2:
        return ""
    return (
        f"The same test patients were scored with {count} weights and recipes in turn, and choices "
        "followed what was seen (the model card lists them), so their scores flatter."
    )


def protocol_text(weights: Weights) -> str:
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
    words = [*sentences(weights), held_out_text(weights)]
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
    learned, scored = ({*map(patient_of, ablations["settings"][k])} for k in ("train", "val"))
    words = (
        f"Each row is one training at {_settings(ablations)}, on {len(learned)} "
        f"patients, scored on the {len(scored)} validation patients at the threshold that "
        "is best for the row, tumors inside the true liver. With one training a row, a difference "
        "no larger than that of another seed says nothing."
    )
    return "\n".join([*lines, "", words])


def held_out_text(weights: Weights) -> str:
    """What was reached where the thresholds were chosen; "" where that is not known."""
    summary = held_out_summary(weights)
    if not summary:
        return ""
    liver, tumor = (format_value("dice", summary[network]["dice"]["mean"]) for network in NETWORKS)
    words = (
        f"On {summary['patients']} more, on whom the thresholds were chosen, networks trained "
        f"without them reached a mean Dice of {liver} and {tumor}; {false_tumor(summary)}."
    )
    if any(map(_taught, weights.trained["thresholds"].get("judges", ()))):
        words += (
            " The tumor networks among them learned labels of other patients from a teacher that "
            "had learned these, so they are not wholly unseen."
        )
    return words


def _taught(judge: dict) -> bool:
    """Whether a judge's teacher had learned patients whom it judges."""
    teacher = judge.get("teacher") or {}
    learned, judged = (
        set(map(patient_of, who)) for who in (teacher.get("learned", ()), judge["patients"])
    )
    return bool(learned & judged)


def held_out_summary(weights: Weights) -> dict | None:
    """Scores of the patients on whom the thresholds of exactly these networks were chosen."""
    chosen = weights.trained.get("thresholds", {})
    made_for = chosen.get("of", {}).items()
    if any(weights.files.get(key, {}).get("sha256") != content for key, content in made_for):
        return None
    return chosen.get("summary")


def interval(key: str, limits: list[float] | None) -> str:
    """Two limits as "0.93 to 0.96"."""
    return (
        UNDEFINED if limits is None else " to ".join(format_value(key, limit) for limit in limits)
    )
