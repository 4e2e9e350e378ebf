"""The command `ablate`: what each choice is worth, one changed at a time.

    python -m liverseg ablate --data DIR --work DIR --out weights/ablations.json

Every row is the same network and training code, trained on the train patients and scored on the
validation patients; test patients are not touched. Resolution and steps are small, so that all rows
take about an hour on one core: they can be compared with each other, not with the shipped weights.
A stopped run goes on where it was.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from ..network.preprocess import Square, whole_slice
from ..network.recipe import Recipe
from ..scores.metrics import dice_of_some
from ..training import fingerprint
from ..training.cache import packed
from ..training.datasets import read_data, read_sides
from ..training.labelled_scan import LabelledScan
from ..training.losses import make_loss
from ..training.quick_dice import Model, outputs
from ..training.samples import View, is_picture, tumor_view
from ..training.split import split_cases
from ..training.train import CODE as TRAINING_CODE
from ..training.train import SAMPLES, Run, Stage
from .input_change import ChangedSamples, InputChange, repeat_slice, unchanged
from .paper_protocol import ModelWithChangedInput, equalize, protocol_means, protocol_values

SIDE = 256  # pixels of a slice: finer ones are made as coarse, which is fine enough here
OWN_CODE = ("ablation", "input_change", "paper_copies", "paper_protocol")
CODE = (*TRAINING_CODE, *(f"evaluation/{name}.py" for name in OWN_CODE))
THRESHOLDS = tuple(k / 20 for k in range(1, 20))

Split = dict[str, list[LabelledScan]]  # by side


@dataclass(frozen=True)
class Row:
    """One training that differs from its network's first row in one thing.

    Attributes:
        network: "liver" or "tumor".
        name: of its folder.
        change: in words.
        image: what becomes of the input.
        equalized: whether the paper's gray values take the place of the HU window.
        view: what the tumor network sees of a case.
        samples: options of the samples, where they are not liverseg's.
        missed: what a missed voxel costs in the loss; None for liverseg's.
        seed: added to the stage's.
    """

    network: str
    name: str
    change: str
    image: InputChange = unchanged
    equalized: bool = False
    view: View = tumor_view
    samples: Mapping[str, float] = field(default_factory=dict)
    missed: float | None = None
    seed: int = 0


def whole_field(case: LabelledScan, recipe: Recipe) -> tuple[Square, tuple[int, int]]:
    """The whole slice in place of the square around the liver: see `tumor_view`."""
    return whole_slice(case.hu.shape[1:]), tumor_view(case, recipe)[1]


def fixed_window(case: LabelledScan, recipe: Recipe) -> tuple[Square, tuple[int, int]]:
    """One window for all in place of one around the liver's median: see `tumor_view`."""
    return tumor_view(case, recipe)[0], recipe.window_hu


BASE, CHANCE = "liverseg's choices", "nothing but the seed, to show what chance does"
GRAY = "one slice three times, not with its neighbors"
EQUALIZED = "the paper's histogram equalization, not a window in HU"
ROWS = (
    Row("liver", "base", BASE),
    Row("tumor", "base", BASE),
    Row("tumor", "gray", GRAY, image=repeat_slice),
    Row("tumor", "field", "the whole slice, not the square around the liver", view=whole_field),
    Row("tumor", "real", "no tumors drawn into livers", samples={"synthetic": 0.0}),
    Row("tumor", "equalized", EQUALIZED, equalized=True, view=fixed_window),
    Row("tumor", "again", CHANCE, seed=100),
    Row("liver", "gray", GRAY, image=repeat_slice),
    Row("liver", "equalized", EQUALIZED, equalized=True),
    Row("tumor", "window", "one window for all, not around the liver's HU", view=fixed_window),
    Row("liver", "again", CHANCE, seed=100),
    Row("liver", "real", "no tumors drawn into livers", samples={"synthetic": 0.0}),
    Row("tumor", "cysts", "no cysts drawn into livers", samples={"cysts": 0.0}),
    Row("tumor", "alone", "nothing drawn beside livers", samples={"organs": 0.0}),
    Row("tumor", "whole", "no notches drawn into livers", samples={"notches": 0.0}),
    Row("liver", "whole", "no notches drawn into livers", samples={"notches": 0.0}),
    Row("liver", "scans", "a fifth of single slices, not two", samples={"pictures": 0.2}),
    Row("tumor", "dice", "Dice in the loss, not Tversky with more for a miss", missed=0.5),
)


def ablate(split: Split, work: Path, recipe: Recipe, stage: Stage, out: Path) -> dict:
    """Trains and scores the paper's protocol and all rows; writes `out` after each.

    Args:
        split: by patient; "train" is learned and "val" scored.
        work: for checkpoints.
        recipe: of all rows.
        stage: of all rows.
        out: a JSON file.

    Returns:
        {"settings", "paper_values", "paper_protocol", "rows": [{"network", "name", "change",
        "dice", "threshold", "scans": {name: Dice}}]}.
    """
    settings: dict[str, Any] = {"recipe": recipe.to_dict(), "stage": asdict(stage)}
    settings |= {"backend": keras.backend.backend()}
    settings |= {side: sorted({case.patient for case in split[side]}) for side in ("train", "val")}
    settings["scans"] = {side: fingerprint.of_scans(split[side]) for side in ("train", "val")}
    settings["code"] = fingerprint.of_code(*CODE)
    found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    if found.get("settings") != settings:
        found = {"settings": settings, "rows": []}
    if "paper_protocol" not in found:
        found["paper_values"] = protocol_values(split, work / "paper", recipe, stage)
        found["paper_protocol"] = protocol_means(found["paper_values"])
        _write(found, out)
    done = {(row["network"], row["name"]) for row in found["rows"]}
    liver = None
    for row in ROWS:
        if row.network == "tumor" and liver is None:
            liver = _train(ROWS[0], split, work, recipe, stage).average
        if (row.network, row.name) not in done:
            found["rows"].append(_score(row, split, work, recipe, stage, liver))
            _write(found, out)
    return found


def _score(
    row: Row,
    split: Split,
    work: Path,
    recipe: Recipe,
    stage: Stage,
    liver: list[np.ndarray] | None,
) -> dict:
    run = _train(row, split, work, recipe, stage, liver if row.network == "tumor" else None)
    run.model.set_weights(run.average)
    cases = _prepared(row, [case for case in split["val"] if not is_picture(case)], recipe)
    model = ModelWithChangedInput(run.model, row.image)
    threshold, scans = best_dice(model, row, cases, recipe)
    return {
        "network": row.network,
        "name": row.name,
        "change": row.change,
        "dice": float(np.mean(list(scans.values()))),
        "threshold": threshold,
        "scans": scans,
    }


def best_dice(
    model: Model, row: Row, cases: list[LabelledScan], recipe: Recipe
) -> tuple[float, dict[str, float]]:
    """Dice of each scan at the threshold that is best for their mean, as it is chosen on "val".

    Returns:
        The threshold, and Dice by the scan's name.
    """
    said = {case.name: outputs(model, row.network, case, recipe, row.view) for case in cases}
    scores = {
        threshold: {
            name: dice_of_some((probability >= threshold) & counted, truth)
            for name, (probability, truth, counted) in said.items()
            if truth.any()
        }
        for threshold in THRESHOLDS
    }
    return max(scores.items(), key=lambda item: np.mean(list(item[1].values())))


def _train(
    row: Row,
    split: Split,
    work: Path,
    recipe: Recipe,
    stage: Stage,
    weights: list[np.ndarray] | None = None,
) -> Run:
    """Trains one row, or reads what was trained; tumor networks begin with the liver network."""
    stage = replace(stage, seed=stage.seed + row.seed)
    folder = work / f"{row.network}_{row.name}"
    keras.backend.clear_session()
    made_of = {
        "row": {k: getattr(v, "__name__", v) for k, v in vars(row).items()},
        "scans": fingerprint.of_scans(split["train"]),
    }
    loss = make_loss(row.network, row.missed)
    run = Run(row.network, stage, folder, recipe, weights, loss, made_of)
    if run.step < stage.steps:
        cases = _prepared(row, split["train"], recipe)
        options: dict[str, Any] = dict(row.samples)
        if row.network == "tumor":
            options["view"] = row.view
        samples = SAMPLES[row.network](cases, recipe, **options)
        run.train(ChangedSamples(samples, row.image), [])
    return run


def _prepared(row: Row, cases: list[LabelledScan], recipe: Recipe) -> list[LabelledScan]:
    return [equalize(case, recipe) for case in cases] if row.equalized else cases


def _write(found: dict, out: Path) -> None:
    out.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def smaller(case: LabelledScan, side: int = SIDE) -> LabelledScan:
    """A case of slices of at most side × side pixels."""
    rows, columns = case.labels.shape[1:]
    if max(rows, columns) <= side:
        return case
    scale = side / max(rows, columns)
    shape = round(columns * scale), round(rows * scale)
    hu = [cv2.resize(one, shape, interpolation=cv2.INTER_AREA) for one in case.hu]
    labels = [cv2.resize(one, shape, interpolation=cv2.INTER_NEAREST_EXACT) for one in case.labels]
    return replace(case, hu=np.stack(hu), labels=np.stack(labels), pixel_mm=case.pixel_mm / scale)


def read_smaller(root: Path) -> Iterator[LabelledScan]:
    """A data set's cases in small slices."""
    return map(smaller, read_data(root))


def main(argv: list[str]) -> None:
    """Runs the command; prints the rows on stderr."""
    parser = argparse.ArgumentParser(prog="python -m liverseg ablate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="of a data set, or 'phantom'")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, cache")
    parser.add_argument("--out", type=Path, default=Path("weights/ablations.json"))
    parser.add_argument("--size", type=int, default=64, help="of the networks' input")
    parser.add_argument("--width", type=int, default=8, help="of the stem; the paper's is 16")
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    args = parser.parse_args(argv)
    here = ("evaluation/ablation.py",)
    cases = packed(args.data, args.work / "small", read_smaller, here)
    split = split_cases(cases, read_sides(args.data, cases))
    recipe = Recipe(size=args.size, filters=tuple(args.width * 2**k for k in range(5)))
    stage = Stage(args.size, 8, args.steps, 2e-3, warmup=30, check_every=100)
    found = ablate(split, args.work, recipe, stage, args.out)
    for row in found["rows"]:
        print(f"{row['network']:6} {row['dice']:.3f} {row['change']}", file=sys.stderr)
