"""How alike the masks of the two engines are, of whole scans and of single tumors by their size.

    python -m tests.benchmarks.agreement --data DIR

Scans of the validation patients go through `segment` with both engines; test patients are left
alone. Kept for `python -m liverseg publish`, with the weights that were compared.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from liverseg.evaluation.readme_tables import AGREEMENT_FILE, agreement_text
from liverseg.network.cascade import segment
from liverseg.network.engine import Engine, load_engine
from liverseg.network.weights import FOLDER, load_config
from liverseg.scores.lesions import number_lesions
from liverseg.scores.metrics import dice
from liverseg.training import fingerprint
from liverseg.training.datasets import cases_of_side
from liverseg.training.labelled_scan import LabelledScan, spacing_of
from liverseg.training.samples import is_picture
from liverseg.volume import Segmentation, Volume


def compare(cases: Iterable[LabelledScan], fast: Engine, reference: Engine) -> dict:
    """Dice between the masks of two engines, as JSON stores it."""
    kept = [case for case in cases if not is_picture(case)]
    scans = []
    for case in kept:
        volume = Volume(np.array(case.hu), spacing_of(case))
        masks = [segment(volume, engine=engine) for engine in (fast, reference)]
        scans.append({"case": case.name} | agreement(*masks, volume.voxel_ml))
        print(case.name, {k: v for k, v in scans[-1].items() if k != "tumors"}, flush=True)
    return {
        "weights": {"fast": fast.identity, "reference": reference.identity},
        "data": fingerprint.of_scans(kept),
        "scans": scans,
    }


def agreement(one: Segmentation, other: Segmentation, voxel_ml: float | None) -> dict:
    """Of one scan.

    Args:
        one, other: its masks.
        voxel_ml: None where it is not known; then single tumors have no size and are left out.

    Returns:
        "liver" and "tumor", Dice between the masks, and "tumors": of each place that either marks
        the diameter of a ball as large ("mm") and the "dice" there, 0 where only one marks it.
    """
    places, voxels = number_lesions(one.tumor | other.tumor)
    counts = [
        np.bincount(places[mask], minlength=len(voxels) + 1)[1:]
        for mask in (one.tumor & other.tumor, one.tumor, other.tumor)
    ]
    shared = 2 * counts[0] / (counts[1] + counts[2])
    diameters = np.cbrt(6 / np.pi * 1000 * voxels * (voxel_ml or 0))
    tumors = zip(diameters, shared, strict=True) if voxel_ml else ()
    return {
        "liver": dice(one.liver, other.liver),
        "tumor": dice(one.tumor, other.tumor),
        "tumors": [{"mm": round(float(mm), 1), "dice": float(d)} for mm, d in tumors],
    }


def main() -> None:
    """Measures, prints and keeps it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.agreement")
    parser.add_argument("--data", type=Path, required=True, help="labelled scans, as for training")
    parser.add_argument("--out", type=Path, default=FOLDER / AGREEMENT_FILE)
    args = parser.parse_args()
    engines = load_engine("fast"), load_engine("reference")
    found = compare(cases_of_side(args.data, "val"), *engines)
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(agreement_text(load_config()))


if __name__ == "__main__":
    main()
