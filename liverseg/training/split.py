"""Labelled scans by side: train, val and test are split by patient and never else.

Some patients are in the public sets under several names; `patient_of` knows which.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import DataError
from ..sentences import say
from ..volume import TUMOR
from .labelled_scan import LabelledScan

SIDES = ("train", "val", "test")
LITS_OF_IRCADB = range(28, 48)  # LiTS volume v is 3D-IRCADb-01 patient v - 27
LITS_OF_ONE = {8: 7, 9: 7, 10: 7, 15: 14}  # LiTS volumes of a patient with an earlier volume


def patient_of(name: str) -> str:
    """The patient of a scan named as this package names those of LiTS; other names are kept.

    Args:
        name: "lits_008" or any other.

    Returns:
        One name for all volumes of a patient: "lits_007" for LiTS 7 to 10, "lits_014" for 14 and
        15, "ircad_01" to "ircad_20" for 28 to 47, which are 3D-IRCADb-01.
    """
    prefix, _, digits = name.partition("_")
    if prefix != "lits" or not digits.isdecimal():
        return name
    number = int(digits)
    if number in LITS_OF_IRCADB:
        return f"ircad_{number - 27:02d}"
    return f"lits_{LITS_OF_ONE.get(number, number):03d}"


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
    named = {side: named_patients(sides[side]) for side in SIDES}
    side_of: dict[str, str] = {}
    for case in cases:
        own = {case.name, case.patient}
        for side in [side for side in SIDES if own & named[side]] or ["train"]:
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


def named_patients(names: Iterable[str]) -> set[str]:
    """Names of patients or scans, and the patients that they mean."""
    return {patient for name in names for patient in (name, patient_of(name))}


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
