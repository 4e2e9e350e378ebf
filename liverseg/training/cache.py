"""Labelled scans packed into a folder once and memory-mapped from then on."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .labelled_scan import LabelledScan


def pack(cases: Iterable[LabelledScan], folder: Path) -> list[LabelledScan]:
    """Writes cases once to a folder and returns them memory-mapped, so that any number fits."""
    for case in cases:
        place = Path(folder) / case.name
        place.mkdir(parents=True, exist_ok=True)
        for key in ("hu", "labels", "z_mm"):
            np.save(place / f"{key}.npy", getattr(case, key))
        about = {key: getattr(case, key) for key in ("patient", "pixel_mm", "measured")}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return open_packed(folder)


def open_packed(folder: Path) -> list[LabelledScan]:
    """What `pack` wrote, memory-mapped and sorted by name."""
    cases = []
    for path in sorted(Path(folder).glob("*/about.json")):
        arrays = {
            key: np.load(path.parent / f"{key}.npy", mmap_mode="r")
            for key in ("hu", "labels", "z_mm")
        }
        about = json.loads(path.read_text(encoding="utf-8"))
        cases.append(LabelledScan(name=path.parent.name, **about, **arrays))
    return cases
