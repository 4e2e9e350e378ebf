"""The command `evaluate`: what the shipped weights reach on patients they never saw.

Each scan goes through `segment` exactly as an upload does. Results go into a JSON file, per patient
and over patients, beside those of other splits and engines; a run that was stopped goes on there.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..network.cascade import segment
from ..network.engine import Engine, load_engine
from ..network.weights import NETWORKS, RESULTS, Weights, load_config
from ..scores.measurements import Measurements, measure
from ..scores.metrics import Scores, StructureScores, compare
from ..sentences import say
from ..training import fingerprint
from ..training.datasets import cases_of_side
from ..training.labelled_scan import UNANNOTATED, LabelledScan, spacing_of
from ..training.record import check_unseen
from ..training.samples import is_picture
from ..training.split import SIDES
from ..volume import LIVER, TUMOR, Segmentation, Volume
from .calibration import reliability
from .summary import summarize

CODE = (  # what decides scores
    "network",
    "scores",
    "volume.py",
    "training/labelled_scan.py",
    "evaluation/evaluate.py",
    "evaluation/calibration.py",
    "evaluation/summary.py",
)


def evaluate(cases: Iterable[LabelledScan], split: str, engine: Engine, out: Path) -> dict:
    """Scores the scans of one side of a split and writes `out` after each.

    The summary is written last, with the fingerprint of all scans: without it a run was stopped,
    and nothing of it is published. Each record has the fingerprint of its scan.

    Args:
        cases: of that side; single pictures are no scans and are left out.
        split: "train", "val" or "test".
        engine: to evaluate.
        out: a JSON file; what it holds of other splits and engines is kept, and so are scans that
            were already scored, unless weights, code or the scan are others.

    Returns:
        {"weights", "code", "patients", "scans", "summary"} as stored in out[split][engine's name].
    """
    results = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    name = engine.identity.split("-")[0]
    made_by = {"weights": engine.identity, "code": fingerprint.of_code(*CODE)}
    before = results.setdefault(split, {}).get(name, {})
    known = {}
    if {key: before.get(key) for key in made_by} == made_by:
        known = {patient["case"]: patient for patient in before["patients"]}
    patients: dict[str, dict] = {}
    for case in cases:
        if is_picture(case):
            continue
        record = known.get(case.name, {})
        if record.get("scan") != case.digest:
            record = score_case(case, engine)
        patients[case.name] = record
        shown = known | patients
        results[split][name] = made_by | {"patients": [shown[name] for name in sorted(shown)]}
        _write(results, out)
    if not patients:
        raise DataError(say("data.no_scans", side=split))
    found = made_by | {
        "patients": (records := [patients[name] for name in sorted(patients)]),
        "scans": fingerprint.of_text(*(record["scan"] for record in records)),
        "summary": summarize(records),
    }
    results[split][name] = found
    if split == "test":
        _count_look(results, name, found)
    _write(results, out)
    return found


def _count_look(results: dict, name: str, found: dict) -> None:
    """Each look at test is kept: what is chosen after it is not free of test any more.

    Both engines of one weights folder are one look, where nothing else was scored in between.
    """
    looks = results.setdefault("looks", [])
    if any(look["weights"].get(name) == found["weights"] for look in looks):
        return
    if not looks or name in looks[-1]["weights"]:
        looks.append({"weights": {}, "dice": {}, "followed": []})
    dice = {network: found["summary"][network]["dice"]["mean"] for network in NETWORKS}
    looks[-1]["weights"][name], looks[-1]["dice"][name] = found["weights"], dice


def _write(results: dict, out: Path) -> None:
    out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")


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
        "scan": case.digest,
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
    parser.add_argument("--weights", help="their folder; by default those that the page uses")
    parser.add_argument("--out", type=Path, help="by default results.json beside the weights")
    parser.add_argument("--engine", choices=("auto", "reference", "fast"), default="auto")
    args = parser.parse_args(argv)
    weights = load_config(args.weights)
    cases = cases_of_side(args.data, args.split)
    if args.split != "train":
        cases = _unseen(weights, cases)
    engine = load_engine(args.engine, weights.folder)
    found = evaluate(cases, args.split, engine, args.out or weights.folder / RESULTS)
    print(_table(found), file=sys.stderr)
    return 0


def _unseen(weights: Weights, cases: Iterable[LabelledScan]) -> Iterator[LabelledScan]:
    """The cases, none of whose patients the weights have learned."""
    for case in cases:
        check_unseen(weights, [case])
        yield case


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
