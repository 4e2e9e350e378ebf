"""The fingerprints of the patients on whom the networks are trained, and how well they tell.

python -m liverseg fingerprints --data DATA --weights weights
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from ..network.known_patients import SAME, Fingerprints, blocks_of, write_fingerprints
from .datasets import read_data, read_sides
from .labelled_scan import APART_MM, LabelledScan
from .split import split_cases

OF_SCAN, OF_PICTURES = 8, 4  # slices that are kept of a scan, and of a patient's single slices


def fingerprints_of(cases: list[LabelledScan]) -> np.ndarray:
    """(n, grid, grid) uint8 of slices spread over the liver of each case."""
    return np.concatenate([blocks_of(case.hu[_chosen(case)]) for case in cases])


def _chosen(case: LabelledScan) -> np.ndarray:
    """Slices of a case with liver, evenly spread."""
    with_liver = np.flatnonzero(case.labels.any(axis=(1, 2)))
    are_single = len(case.z_mm) > 1 and np.diff(case.z_mm).min() >= APART_MM
    most = OF_PICTURES if are_single or len(case.z_mm) == 1 else OF_SCAN
    count = min(most, len(with_liver))
    return with_liver[np.linspace(0, len(with_liver) - 1, count).round().astype(int)]


def main(argv: list[str]) -> None:
    """The command `fingerprints`."""
    parser = argparse.ArgumentParser(prog="python -m liverseg fingerprints", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the training data")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="the folder")
    args = parser.parse_args(argv)
    sides = read_sides(args.data, read_data(args.data))
    blocks, others = [], []
    for case in read_data(args.data):
        split = split_cases([case], sides)
        if split["train"]:
            blocks.append(fingerprints_of([case]))
        else:
            others.append((case.name, case.hu))
    known = Fingerprints(np.concatenate(blocks))
    path = write_fingerprints(known.blocks, args.weights)
    print(f"{len(known.blocks)} slices, {path.stat().st_size // 1000} kB.", file=sys.stderr)
    nearest = sorted((known.distance(hu), name) for name, hu in others)
    for distance, name in nearest[:5]:
        print(f"not trained on: {name} {distance:.3f} (known below {SAME})", file=sys.stderr)
