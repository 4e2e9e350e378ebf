"""What the weights in use reach on patients they never saw, as `evaluate` measured it.

Results count only where they are of exactly these files and this recipe.
"""

from typing import NamedTuple

from ..errors import WeightsError
from ..network.weights import NETWORKS, RESULTS, Weights, fast_key, load_config
from .glossary import UNDEFINED, format_value

ENGINES = {"fast": tuple(map(fast_key, NETWORKS)), "reference": NETWORKS}  # and their files
SPLITS = ("test", "val")
NOT_MEASURED = "Scores on patients never seen have not been measured with these weights."


class Evaluation(NamedTuple):
    """What one engine reached on one side of the split (see `evaluation.evaluate`)."""

    split: str
    engine: str
    summary: dict
    patients: list[dict]


def evaluations(weights: Weights) -> list[Evaluation]:
    """Those results that are of exactly these weights: the test patients first, and of each side
    the engine first that the page uses."""
    results, found = weights.measured(RESULTS), []
    for split in SPLITS:
        for engine, keys in ENGINES.items():
            result = results.get(split, {}).get(engine)
            known = result and set(keys) <= set(weights.files)
            if known and result["weights"] == f"{engine}-{weights.identity(keys)}":
                found.append(Evaluation(split, engine, result["summary"], result["patients"]))
    return found


def about() -> str:
    """`headline` of the weights in use, for the page; where there are none, why."""
    try:
        return headline(load_config())
    except WeightsError as error:
        return str(error)


def headline(weights: Weights) -> str:
    """What the weights reach on patients never seen, as one sentence."""
    return sentences(weights)[0]


def sentences(weights: Weights) -> list[str]:
    """The headline, and what the other engine reaches on the same patients."""
    found = evaluations(weights)
    if not found:
        return [NOT_MEASURED]
    first, *others = found
    patients = f"{first.summary['patients']} patients that the networks never saw"
    return [
        f"On {patients} ({first.split} patients, {first.engine} engine), {_reached(first)}.",
        *(
            f"With the {one.engine} engine on the same patients, {_reached(one)}."
            for one in others
            if one.split == first.split
        ),
    ]


def _reached(found: Evaluation) -> str:
    liver, tumor = (_mean_and_worst(found.summary[network]["dice"]) for network in NETWORKS)
    return f"Dice was {liver} for the liver and {tumor} for tumors; {false_tumor(found.summary)}"


def _mean_and_worst(dice: dict) -> str:
    if not dice["n"]:
        return UNDEFINED
    mean, worst = (format_value("dice", value) for value in (dice["mean"], dice["range"][0]))
    return f"{mean} (at worst {worst})"


def false_tumor(summary: dict) -> str:
    """What is marked where there is no tumor, in words."""
    free = summary["tumor_free"]
    false_ml = format_value("tumor_ml", free["false_tumor_ml"]["mean"], unit=True)
    return f"false tumor in scans without any ({free['scans']}) was {false_ml} on average"
