"""Whether published numbers are those that the patients' values give, so that none can be wrong.

Every summary is worked out again from the records beside it. What has no records is compared with
what else was stored of the same scans.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from ..network.weights import NETWORKS, RESULTS, Weights
from ..scores.results import ENGINES, SPLITS
from .summary import summarize
from .tables import ABLATIONS
from .thresholds import Point, best


def differences(weights: Weights) -> list[str]:
    """Places in a weights folder's JSON files that say something else than their records give.

    Returns:
        "results.json, test, fast" and the like; none where all agree.
    """
    return [*_results(weights), *_ablations(weights), *_thresholds(weights)]


def _results(weights: Weights) -> list[str]:
    results = weights.measured(RESULTS)
    return [
        f"{RESULTS}, {split}, {engine}"
        for split in SPLITS
        for engine in ENGINES
        if "summary" in (found := results.get(split, {}).get(engine, {}))
        and not same(found["summary"], summarize(found["patients"]))
    ]


def _ablations(weights: Weights) -> list[str]:
    ablations = weights.measured(ABLATIONS)
    wrong = [
        f"{ABLATIONS}, {row['network']}, {row['name']}"
        for row in ablations.get("rows", ())
        if not same(row["dice"], _mean(list(row["scans"].values())))
    ]
    return wrong + [
        f"{ABLATIONS}, paper_protocol, {network}, {key}"
        for network, values in ablations.get("paper_values", {}).items()
        for key, found in values.items()
        if not same(ablations["paper_protocol"][network][key], _mean(found))
    ]


def _mean(values: list[float] | int) -> float | int:
    """Of a list; a count is itself."""
    return float(np.mean(values)) if isinstance(values, list) else values


def _thresholds(weights: Weights) -> list[str]:
    chosen = weights.trained.get("thresholds")
    if not chosen:
        return []
    recipe, curves = (
        weights.recipe,
        {network: [Point(**point) for point in chosen["curves"][network]] for network in NETWORKS},
    )
    wanted: dict[str, float | None] = {"liver_threshold": best(curves["liver"]).threshold}
    summary = chosen["summary"]
    agrees = "patients" not in chosen or same(summary, summarize(chosen["patients"]))
    if curves["tumor"]:
        tumor = best(curves["tumor"])
        wanted["tumor_threshold"] = tumor.threshold
        wanted |= {"tumor_peak": tumor.peak, "min_tumor_mm3": tumor.smallest_mm3}
        agrees &= same(summary["tumor"]["dice"]["mean"], tumor.dice)
        agrees &= same(summary["tumor_free"]["false_tumor_ml"]["mean"], tumor.false_ml)
    agrees &= same({key: asdict(recipe)[key] for key in wanted}, wanted)
    return [] if agrees else ["config.json, thresholds"]


def same(stored: Any, found: Any) -> bool:
    """Whether two JSON-ready values are the same, but for how another processor rounds."""
    if isinstance(stored, dict) and isinstance(found, dict):
        return stored.keys() == found.keys() and all(same(stored[k], found[k]) for k in stored)
    if isinstance(stored, list) and isinstance(found, list):
        return len(stored) == len(found) and all(map(same, stored, found))
    if isinstance(stored, float) and isinstance(found, float):
        return math.isclose(stored, found, rel_tol=1e-9, abs_tol=1e-12)
    return stored == found
