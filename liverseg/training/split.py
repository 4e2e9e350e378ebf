"""Labelled scans by side: train, val and test are split by patient and never else."""

from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import DataError
from ..sentences import say
from ..volume import TUMOR
from .labelled_scan import LabelledScan

SIDES = ("train", "val", "test")


def split_cases(
    cases: Iterable[LabelledScan], sides: Mapping[str, Iterable[str]]
) -> dict[str, list[LabelledScan]]:
    """Puts each case on the side that names its patient or itself.

    Args:
        cases: to split; patients that no side names are for training.
        sides: patients or case names of "train", "val" and "test".

    Raises:
        DataError: where one patient would be on two sides.
    """
    split: dict[str, list[LabelledScan]] = {side: [] for side in SIDES}
    side_of: dict[str, str] = {}
    for case in cases:
        own = {case.name, case.patient}
        for side in [side for side in SIDES if own & set(sides[side])] or ["train"]:
            if side_of.setdefault(case.patient, side) != side:
                raise DataError(
                    say(
                        "data.patient_on_two_sides",
                        patient=case.patient,
                        first=side_of[case.patient],
                        second=side,
                    )
                )
            split[side].append(case)
    return split


def random_sides(
    cases: Iterable[LabelledScan], seed: int = 0, held_out: float = 0.2
) -> dict[str, list]:
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
        raise DataError(say("data.too_few_patients", count=len(tumor)))
    shuffled = np.random.default_rng(seed).permutation(sorted(tumor))
    ordered = sorted(map(str, shuffled), key=tumor.__getitem__, reverse=True)
    every = max(3, round(1 / held_out))
    return {
        "train": [p for k, p in enumerate(ordered) if k % every > 1],
        "val": [p for k, p in enumerate(ordered) if k % every == 0],
        "test": [p for k, p in enumerate(ordered) if k % every == 1],
    }
