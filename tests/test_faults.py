"""Uploads built after public bug reports and real files, through `python -m liverseg inspect`.

The generators lie outside the repository (../shared/faults): each writes its files into a folder
and prints as JSON what is right.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from liverseg.__main__ import main

FAULTS = Path(__file__).resolve().parents[2] / "shared" / "faults"
NEAR = 0.03  # of an area, where pictures were saved with loss

RIGHT_COUNTS = ("names_of_tumor_masks", "dicom_labels_with_rescale", "labels_scaled_by_nibabel")
NEARLY_RIGHT_OR_REFUSED = ("jpeg_and_smoothed_masks",)


def cases_of(generator: str, folder: Path) -> list[dict]:
    """What a generator wrote, case by case."""
    if not (FAULTS / f"{generator}.py").exists():
        pytest.skip(reason="needs the developers' generators of faulty uploads, which are not here")
    command = [sys.executable, FAULTS / f"{generator}.py", folder]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def inspected(case: dict, capsys) -> dict:
    """The report on a case's scan and truth."""
    capsys.readouterr()
    main(["inspect", case["scan"], "--truth", case["truth"]])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("generator", RIGHT_COUNTS)
def test_the_truth_is_read_as_it_was_meant(generator, tmp_path, capsys):
    for case in cases_of(generator, tmp_path):
        found = inspected(case, capsys)
        assert found["outcome"] == "accepted", case["case"]
        for name in ("liver_voxels", "tumor_voxels"):
            assert found["truth"][name] == case[name], case["case"]


@pytest.mark.parametrize("generator", NEARLY_RIGHT_OR_REFUSED)
def test_the_truth_is_read_nearly_as_it_was_meant_or_refused(generator, tmp_path, capsys):
    for case in cases_of(generator, tmp_path):
        found = inspected(case, capsys)
        if found["outcome"] == "refused":
            continue
        for name in ("liver_voxels", "tumor_voxels"):
            assert abs(found["truth"][name] - case[name]) <= NEAR * case[name], case["case"]
