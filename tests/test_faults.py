"""The developers' generators of misread inputs, each run and read by the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from liverseg.__main__ import main

FAULTS = Path(__file__).resolve().parents[2] / "shared" / "faults"

if not FAULTS.is_dir():
    pytest.skip(reason="the generators are not here", allow_module_level=True)

Right = Callable[[dict, dict], bool]  # of a case's facts and the report of `inspect`


def is_read(facts: dict, report: dict) -> bool:
    """Whether the scan has the slices that it should have."""
    return report["outcome"] == "accepted" and report["shape_zyx"][0] == facts["slices"]


def is_left_out(facts: dict, report: dict) -> bool:
    return is_read(facts, report) and report["notices"][0].startswith("Left out: ")


def is_right_dicom(facts: dict, report: dict) -> bool:
    """Whether the values are right too."""
    if facts["case"] == "twelve_bits_at_the_top":  # where bits lie is the business of test_dicom
        return True
    return is_read(facts, report) and report["hu_range"] == facts["hu_range"]


def is_read_or_a_choice(facts: dict, report: dict) -> bool:
    if facts["slices"] is None:
        return report["outcome"] == "refused" and "2 scans" in report["message"]
    return is_read(facts, report)


def has_right_truth(facts: dict, report: dict) -> bool:
    found = report.get("truth") or {}
    counts = ("liver_voxels", "tumor_voxels")
    return all(found.get(name) == facts[name] for name in counts) and not found["notices"]


def is_spaced(facts: dict, report: dict) -> bool:
    found, expected = report["spacing_zyx_mm"], facts["spacing_zyx_mm"]
    return is_read(facts, report) and found == pytest.approx(expected, abs=1e-4)


RIGHT: dict[str, Right] = {
    "api_long_picture_names": is_read,
    "dicom_odd_headers": is_right_dicom,
    "disc_with_viewer": is_left_out,
    "folder_of_links": is_read,
    "multiframe_with_places": is_read_or_a_choice,
    "nifti_two_forms": has_right_truth,
    "tilted_scan_export": is_spaced,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_generators_cases_are_read_as_they_were_meant(tmp_path, capsys, name):
    program = FAULTS / f"{name}.py"
    made = subprocess.run([sys.executable, program, tmp_path], capture_output=True, check=True)
    wrong = {}
    for facts in json.loads(made.stdout):
        truth = ["--truth", facts["truth"]] if facts["truth"] else []
        main(["inspect", facts["scan"], *truth])
        report = json.loads(capsys.readouterr().out)
        if not RIGHT[name](facts, report):
            wrong[facts["case"]] = report
    assert not wrong
