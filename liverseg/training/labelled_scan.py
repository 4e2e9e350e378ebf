"""Labelled scans for training, from the data sets people have, split by patient and never else.

    Case, from any data set (datasets.py) → cache on disk → split

Labels are 0 background, 1 liver, 2 tumor and 3, liver on a slice whose tumors nobody annotated:
liver for the liver network, left out of every tumor loss and score.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..volume import ASSUMED_SPACING, TUMOR, Segmentation, Volume

UNANNOTATED = 3  # liver on a slice whose tumors were not annotated
APART_MM = 1e3  # between single slices of different places: too far to be neighbours
SIDES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled scan, or the labelled slices that are known of it.

    Attributes:
        name: of the scan, unique in a data set.
        patient: whose it is; several scans may be of one patient.
        hu: (z, y, x) int16.
        labels: (z, y, x) uint8: 0 background, 1 liver, 2 tumor, 3 liver without annotated tumors.
        z_mm: (z,) float, where each slice lies; slices may be missing between two.
        pixel_mm: side of a pixel.
        measured: whether z_mm and pixel_mm are the scan's own; assumed otherwise.
    """

    name: str
    patient: str
    hu: np.ndarray
    labels: np.ndarray
    z_mm: np.ndarray
    pixel_mm: float
    measured: bool = True

    def __post_init__(self):
        if self.hu.shape != self.labels.shape or self.z_mm.shape != self.hu.shape[:1]:
            raise ValueError(
                f"hu, labels and z_mm must fit, got {self.hu.shape}, {self.labels.shape} "
                f"and {self.z_mm.shape}"
            )


def case_of(name: str, patient: str, volume: Volume, truth: Segmentation) -> Case:
    """A case from a scan and its ground truth; unknown spacing is assumed."""
    spacing = volume.spacing or ASSUMED_SPACING
    z_mm = np.arange(volume.shape[0]) * (spacing.z or ASSUMED_SPACING.z)
    measured = volume.voxel_ml is not None
    return Case(name, patient, volume.hu, truth.labels, z_mm, spacing.y, measured)


# --- cache --------------------------------------------------------------------------------------


def pack(cases: Iterable[Case], folder: Path) -> list[Case]:
    """Writes cases once to a folder and returns them memory-mapped, so that any number fits."""
    for case in cases:
        place = Path(folder) / case.name
        place.mkdir(parents=True, exist_ok=True)
        for key in ("hu", "labels", "z_mm"):
            np.save(place / f"{key}.npy", getattr(case, key))
        about = {key: getattr(case, key) for key in ("patient", "pixel_mm", "measured")}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return open_packed(folder)


def open_packed(folder: Path) -> list[Case]:
    """What `pack` wrote, memory-mapped and sorted by name."""
    cases = []
    for path in sorted(Path(folder).glob("*/about.json")):
        arrays = {
            key: np.load(path.parent / f"{key}.npy", mmap_mode="r")
            for key in ("hu", "labels", "z_mm")
        }
        about = json.loads(path.read_text(encoding="utf-8"))
        cases.append(Case(name=path.parent.name, **about, **arrays))
    return cases


# --- split --------------------------------------------------------------------------------------


def split_cases(cases: Iterable[Case], sides: Mapping[str, Iterable[str]]) -> dict[str, list[Case]]:
    """Puts each case on the side that names its patient or itself.

    Args:
        cases: to split; patients that no side names are for training.
        sides: patients or case names of "train", "val" and "test".

    Raises:
        DataError: where one patient would be on two sides.
    """
    split: dict[str, list[Case]] = {side: [] for side in SIDES}
    side_of: dict[str, str] = {}
    for case in cases:
        own = {case.name, case.patient}
        for side in [side for side in SIDES if own & set(sides[side])] or ["train"]:
            if side_of.setdefault(case.patient, side) != side:
                raise DataError(
                    f"patient {case.patient} would be in {side_of[case.patient]} and in {side}; "
                    "split by patient"
                )
            split[side].append(case)
    return split


def random_sides(cases: Iterable[Case], seed: int = 0, held_out: float = 0.2) -> dict[str, list]:
    """Patients of "train", "val" and "test" at random, those with tumors shared out evenly.

    Args:
        cases: of at least three patients.
        seed: of the shuffle.
        held_out: part of the patients in "val", and again in "test"; at least one each.
    """
    tumor: dict[str, bool] = {}
    for case in cases:
        tumor[case.patient] = tumor.get(case.patient, False) or bool((case.labels == TUMOR).any())
    if len(tumor) < len(SIDES):
        raise DataError(f"a split needs at least 3 patients, got {len(tumor)}")
    shuffled = np.random.default_rng(seed).permutation(sorted(tumor))
    ordered = sorted(map(str, shuffled), key=tumor.__getitem__, reverse=True)
    every = max(3, round(1 / held_out))
    return {
        "train": [p for k, p in enumerate(ordered) if k % every > 1],
        "val": [p for k, p in enumerate(ordered) if k % every == 0],
        "test": [p for k, p in enumerate(ordered) if k % every == 1],
    }
