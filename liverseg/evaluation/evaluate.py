"""The command `evaluate`: what the shipped weights reach on patients they never saw.

Each scan goes through `segment` exactly as an upload does. Results go into a JSON file, per patient
and over patients, beside those of other splits and engines; a run that was stopped goes on there.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..network.cascade import segment
from ..network.engine import Engine, load_engine
from ..scores.measurements import Measurements, measure
from ..scores.metrics import Scores, StructureScores, compare
from ..sentences import say
from ..training.datasets import cases_of_side
from ..training.labelled_scan import UNANNOTATED, LabelledScan, spacing_of
from ..training.samples import is_picture
from ..training.split import SIDES
from ..volume import LIVER, TUMOR, Segmentation, Volume
from .calibration import reliability
from .summary import summarize


def evaluate(cases: Iterable[LabelledScan], split: str, engine: Engine, out: Path) -> dict:
    """Scores the scans of one side of a split and writes `out` after each.

    Args:
        cases: of that side; single pictures are no scans and are left out.
        split: "train", "val" or "test".
        engine: to evaluate.
        out: a JSON file; what it holds of other splits and engines is kept, and so are patients
            that were already scored with exactly these weights.

    Returns:
        {"weights", "summary", "patients"} as stored in out[split][engine's name].
    """
    results = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    name = engine.identity.split("-")[0]
    found = results.setdefault(split, {}).get(name, {})
    patients = found["patients"] if found.get("weights") == engine.identity else []
    done = {patient["case"] for patient in patients}
    for case in cases:
        if case.name in done or is_picture(case):
            continue
        patients = sorted([*patients, score_case(case, engine)], key=lambda p: p["case"])
        results[split][name] = {
            "weights": engine.identity,
            "summary": summarize(patients),
            "patients": patients,
        }
        out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if not patients:
        raise DataError(say("data.no_scans", side=split))
    return results[split][name]


def score_case(case: LabelledScan, engine: Engine) -> dict:
    """Segments one scan and scores it: a JSON-ready record.

    Slices with unannotated tumors are left out of everything about tumors; "tumor" is None where
    no slice of the liver remains.
    """
    start = time.perf_counter()
    volume = Volume(np.array(case.hu), spacing_of(case))
    prediction = segment(volume, engine=engine)
    seconds = time.perf_counter() - start
    truth = Segmentation(np.where(case.labels == UNANNOTATED, LIVER, case.labels))
    measured, true = measure(prediction, volume), measure(truth, volume)
    scores = compare(prediction, truth, volume)
    everywhere = np.ones(volume.shape, bool)
    record = {
        "case": case.name,
        "patient": case.patient,
        "slices": len(case.hu),
        "spacing_zyx_mm": list(volume.spacing) if volume.spacing else None,
        "seconds": round(seconds, 1),
        "liver": _structure(prediction.liver, truth.liver, scores.liver, measured.liver_ml)
        | {"reliability": reliability(prediction.liver_probability, truth.liver, everywhere)},
        "liver_error_percent": _error_percent(scores.liver.rvd),
        "liver_truth_ml": true.liver_ml,
        "tumor": None,
        "burden_error_percent": None,
    }
    annotated = ~(case.labels == UNANNOTATED).any(axis=(1, 2))
    if (case.labels[annotated] == LIVER).any():
        record |= _tumor_record(case, prediction, annotated)
    return record


def _tumor_record(case: LabelledScan, prediction: Segmentation, annotated: np.ndarray) -> dict:
    """What concerns tumors, on the slices where they are annotated."""
    volume = Volume(case.hu[annotated], spacing_of(case, annotated))
    judged = prediction.liver & annotated[:, None, None]  # what the tumor network decides on
    reliable = reliability(prediction.tumor_probability, case.labels == TUMOR, judged)
    prediction = Segmentation(prediction.labels[annotated])
    truth = Segmentation(np.array(case.labels[annotated]))
    scores = compare(prediction, truth, volume)
    measured, true = measure(prediction, volume), measure(truth, volume)
    tumor = _structure(prediction.tumor, truth.tumor, scores.tumor, measured.tumor_ml)
    tumor |= _lesion_records(scores, true)
    found, wanted = measured.burden_percent, true.burden_percent
    return {
        "tumor": tumor | {"truth_ml": true.tumor_ml, "reliability": reliable},
        "burden_error_percent": None if found is None or wanted is None else found - wanted,
    }


def _structure(
    prediction: np.ndarray, truth: np.ndarray, scores: StructureScores, volume_ml: float | None
) -> dict:
    """Scores of one structure and the voxel counts by which Dice is pooled."""
    return {
        "scores": vars(scores),
        "shared_voxels": int(np.count_nonzero(prediction & truth)),
        "prediction_voxels": int(np.count_nonzero(prediction)),
        "truth_voxels": int(np.count_nonzero(truth)),
        "prediction_ml": volume_ml,
    }


def _lesion_records(scores: Scores, true: Measurements) -> dict:
    """Status and size of every lesion; both lists are numbered by size, so they go together."""
    return {
        "predicted_lesions": [
            {"status": match.status, "voxels": match.voxels} for match in scores.lesions.predicted
        ],
        "true_lesions": [
            {"status": m.status, "voxels": m.voxels, "long_axis_mm": lesion.long_axis_mm}
            for m, lesion in zip(scores.lesions.truth, true.lesions, strict=True)
        ],
    }


def _error_percent(rvd: float | None) -> float | None:
    """How wrong a volume is, whichever way."""
    return None if rvd is None else 100 * abs(rvd)


def main(argv: list[str]) -> int:
    """Runs the command; prints a table on stderr."""
    parser = argparse.ArgumentParser(prog="python -m liverseg evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="of a data set, or 'phantom'")
    parser.add_argument("--split", choices=SIDES, default="test")
    parser.add_argument("--out", type=Path, default=Path("weights/results.json"))
    parser.add_argument("--engine", choices=("auto", "reference", "fast"), default="auto")
    args = parser.parse_args(argv)
    cases = cases_of_side(args.data, args.split)
    found = evaluate(cases, args.split, load_engine(args.engine), args.out)
    print(_table(found), file=sys.stderr)
    return 0


def _table(found: dict) -> str:
    """Dice of each patient and over patients, as lines of text."""

    def line(name: str, liver: float | None, tumor: float | None) -> str:
        written = ("-" if value is None else f"{value:.3f}" for value in (liver, tumor))
        return "{:16}{:>8}{:>8}".format(name, *written)

    lines = [f"{'Dice':16}{'liver':>8}{'tumor':>8}"]
    for patient in found["patients"]:
        tumor = patient["tumor"] and patient["tumor"]["scores"]["dice"]
        lines.append(line(patient["case"], patient["liver"]["scores"]["dice"], tumor))
    means = (found["summary"][structure]["dice"]["mean"] for structure in ("liver", "tumor"))
    return "\n".join([*lines, line("mean", *means)])
