"""The command `thresholds`: what counts as liver and as tumor, chosen on patients never learned.

    python -m liverseg thresholds --data DIR --weights weights
    python -m liverseg thresholds ... --unseen A=val --unseen B=ircad_07,ircad_11

Weights that learned the validation patients too cannot choose on them; networks trained alike,
each without some patients, can: A and B are their folders. Each scan goes through `segment`. The
liver's threshold comes first, since the tumor network sees what it leaves; then the tumor's, with
the peak and the size that a tumor must reach. Both networks run once on each slice. The choice is
written into config.json, with the curves and with all scores that these scans have with it.
Patients whom a folder's weights or their teacher learned, by its config.json, are refused.
A Dice that is nearly the greatest is as good, and then less false tumor decides.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..network.cascade import clean_tumors, level, segment
from ..network.engine import Engine, load_engine
from ..network.recipe import Recipe
from ..network.weights import NETWORKS, Network, load_config
from ..scores.metrics import dice, dice_of_some
from ..sentences import say
from ..training import fingerprint
from ..training.datasets import cases_of_side, read_data, read_sides
from ..training.labelled_scan import UNANNOTATED, LabelledScan, spacing_of
from ..training.record import change_config, check_unseen
from ..training.samples import is_picture
from ..training.split import named_patients
from ..volume import LIVER, TUMOR, Segmentation, Volume
from .evaluate import CODE, score_case
from .summary import summarize

LIVER_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TUMOR_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PEAKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # of 8 bits one value is above
SMALLEST_MM3 = (0.0, 20.0, 50.0)
MOST_FALSE_ML = 2.0  # of tumor, on average, in scans without any
AS_GOOD = 0.005  # Dice: less than what another seed in training changes
LOWEST = 1 / 255  # every voxel of which the network says anything


class Point(NamedTuple):
    """One point of a curve.

    Attributes:
        threshold: probability.
        peak, smallest_mm3: of a tumor (see `Recipe`); None on the liver's curve.
        dice: mean over scans, of tumors over those that have some.
        false_ml: of tumor, mean over scans without any; None where none is measured.
    """

    threshold: float
    peak: float | None
    smallest_mm3: float | None
    dice: float
    false_ml: float | None = None


class Choice(NamedTuple):
    """What was chosen, and what it reaches where it was.

    Attributes:
        recipe: with the best thresholds.
        curves: {"liver": [Point...], "tumor": ...} as JSON-ready dictionaries.
        summary: of all scores with them (see `summarize`).
        patients: these scores, a record of each scan (see `score_case`).
    """

    recipe: Recipe
    curves: dict
    summary: dict
    patients: list[dict]


def choose_thresholds(cases: Iterable[tuple[LabelledScan, Engine]], recipe: Recipe) -> Choice:
    """Sweeps thresholds over scans.

    Args:
        cases: each with an engine whose networks have not learned its patient; single pictures are
            no scans and are left out.
        recipe: to be completed.
    """
    scans = [(case, CachedEngine(engine)) for case, engine in cases if not is_picture(case)]
    if not scans:
        raise DataError(say("data.no_validation_scans"))
    liver = [_liver_point(scans, recipe, threshold) for threshold in LIVER_THRESHOLDS]
    recipe = replace(recipe, liver_threshold=best(liver).threshold)
    tumor = _tumor_points(scans, recipe)
    if tumor:
        point = best(tumor)
        assert point.peak is not None and point.smallest_mm3 is not None
        recipe = _with_tumor(recipe, point.threshold, point.peak, point.smallest_mm3)
    curves = {"liver": liver, "tumor": tumor}
    patients = [_score(case, engine, recipe) for case, engine in scans]
    return Choice(
        recipe,
        {name: [point._asdict() for point in curve] for name, curve in curves.items()},
        summarize(patients),
        patients,
    )


class CachedEngine:
    """An engine that runs a network on each input once, and has a recipe of its own.

    Attributes:
        recipe: to be changed between two runs of `segment`.
        look_for_tumors: whether the tumor network runs; it finds nothing otherwise.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._known: dict[tuple, np.ndarray] = {}
        self.recipe, self.identity = engine.recipe, engine.identity
        self.batch_size = engine.batch_size
        self.look_for_tumors = False

    def predict(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine.predict`."""
        if network == "tumor" and not self.look_for_tumors:
            return [np.zeros(image.shape[:2], np.float32) for image in images]
        keys = [(network, image.shape, hash(image.tobytes())) for image in images]
        missing = {k: image for k, image in zip(keys, images, strict=True) if k not in self._known}
        found = self._engine.predict(network, list(missing.values()))
        self._known |= zip(missing, found, strict=True)
        return [self._known[key] for key in keys]


Scans = list[tuple[LabelledScan, CachedEngine]]


def _score(case: LabelledScan, engine: CachedEngine, recipe: Recipe) -> dict:
    engine.recipe, engine.look_for_tumors = recipe, True
    return score_case(case, engine)


def _liver_point(scans: Scans, recipe: Recipe, threshold: float) -> Point:
    scores = []
    for case, engine in scans:
        engine.recipe = replace(recipe, liver_threshold=threshold)
        found = segment(Volume(np.array(case.hu), spacing_of(case)), engine=engine)
        scores.append(dice(found.liver, case.labels != 0) or 0.0)
    return Point(threshold, None, None, float(np.mean(scores)))


def _tumor_points(scans: Scans, recipe: Recipe) -> list[Point]:
    """Of all thresholds, peaks and sizes; none where no scan has annotated tumors."""
    settings = product(TUMOR_THRESHOLDS, PEAKS, SMALLEST_MM3)
    rows: dict[tuple[float, float, float], tuple[list[float], list[float]]] = {
        setting: ([], []) for setting in settings if setting[0] <= setting[1]
    }
    for case, engine in scans:
        annotated = ~(case.labels == UNANNOTATED).any(axis=(1, 2))
        if not (case.labels[annotated] == LIVER).any():
            continue
        engine.recipe = _with_tumor(recipe, LOWEST, LOWEST, 0.0)
        engine.look_for_tumors = True
        volume = Volume(np.array(case.hu), spacing_of(case))
        found = segment(volume, engine=engine)
        truth = case.labels[annotated] == TUMOR
        for setting, (scores, false_ml) in rows.items():
            tumor = _tumor(found, volume, _with_tumor(recipe, *setting))[annotated]
            if truth.any():
                scores.append(dice_of_some(tumor, truth))
            elif volume.voxel_ml is not None:
                false_ml.append(np.count_nonzero(tumor) * volume.voxel_ml)
    return [
        Point(*key, float(np.mean(scores)), float(np.mean(false_ml)) if false_ml else None)
        for key, (scores, false_ml) in rows.items()
        if scores
    ]


def _with_tumor(recipe: Recipe, threshold: float, peak: float, smallest_mm3: float) -> Recipe:
    return replace(recipe, tumor_threshold=threshold, tumor_peak=peak, min_tumor_mm3=smallest_mm3)


def _tumor(found: Segmentation, volume: Volume, recipe: Recipe) -> np.ndarray:
    """(z, y, x) bool: the tumors that `segment` finds with these settings."""
    tumor = np.zeros(volume.shape, bool)
    probability = found.tumor_probability
    if probability is not None:
        values = probability.values.copy()
        clean_tumors(values, probability.box, volume, recipe)
        tumor[probability.box] = values >= level(recipe.tumor_threshold)
    return tumor


def best(points: list[Point]) -> Point:
    """The least false tumor among those whose Dice is as good as the greatest.

    Those with much false tumor count only where none has little. Of equals the greatest Dice, then
    the one that asks more of a tumor.
    """
    careful = [p for p in points if (p.false_ml or 0.0) < MOST_FALSE_ML] or points
    greatest = max(p.dice for p in careful)
    return min(
        (p for p in careful if p.dice > greatest - AS_GOOD),
        key=lambda p: (p.false_ml or 0.0, -p.dice, -(p.peak or 0.0), -(p.smallest_mm3 or 0.0)),
    )


def read_unseen(root: Path, patients: str) -> Iterator[LabelledScan]:
    """The cases of "val", or of patients with commas between them.

    Raises:
        DataError: for a patient that is none of the data set's, or one for testing.
    """
    if patients == "val":
        yield from cases_of_side(root, "val")
        return
    tested = named_patients(read_sides(root)["test"])
    wanted, found = set(patients.split(",")), set()
    for case in read_data(root):
        own = {case.name, case.patient}
        if wanted & own and own & tested:
            raise DataError(say("data.test_patient", patient=case.patient))
        if wanted & own:
            found |= own
            yield case
    if wanted - found:
        raise DataError(
            say("data.no_such_patient", data=root, patients=tuple(sorted(wanted - found)))
        )


def parse_held_out(text: str) -> tuple[Path, str]:
    """Weights' folder and patients of "FOLDER=PATIENTS", for argparse."""
    folder, _, patients = text.rpartition("=")
    if not folder or not patients:
        raise argparse.ArgumentTypeError(f"{text!r} is not FOLDER=PATIENTS, as weights=val is")
    return Path(folder), patients


def main(argv: list[str]) -> None:
    """Runs the command; prints the curves on stderr."""
    parser = argparse.ArgumentParser(prog="python -m liverseg thresholds", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="of a data set, or 'phantom'")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="their folder")
    parser.add_argument(
        "--unseen",
        action="append",
        type=parse_held_out,
        metavar="FOLDER=PATIENTS",
        help="weights and who they did not learn: 'val' or names; by default --weights and val",
    )
    parser.add_argument("--engine", choices=("auto", "reference", "fast"), default="auto")
    args = parser.parse_args(argv)
    weights = load_config(args.weights)
    scans, judges = [], []
    for folder, patients in args.unseen or [(args.weights, "val")]:
        cases = [case for case in read_unseen(args.data, patients) if not is_picture(case)]
        check_unseen(load_config(folder), cases)
        engine = load_engine(args.engine, folder)
        scans += [(case, engine) for case in cases]
        judges.append(
            {
                "engine": engine.identity,
                "patients": sorted({case.patient for case in cases}),
                "scans": fingerprint.of_scans(cases),
            }
        )
    choice = choose_thresholds(scans, weights.recipe)
    for name, points in choice.curves.items():
        print(name, *map(json.dumps, points), sep="\n", file=sys.stderr)
    chosen = {
        "judges": judges,
        "of": {network: weights.files[network]["sha256"] for network in NETWORKS},
        "code": fingerprint.of_code(*CODE),
        "summary": choice.summary,
        "patients": choice.patients,
        "curves": choice.curves,
    }
    change_config(weights, choice.recipe, weights.trained | {"thresholds": chosen})
