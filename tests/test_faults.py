"""Uploads built after public bug reports and real files, through `python -m liverseg inspect`.

The generators lie outside the repository (../shared/faults): each writes its files into a folder
and prints as JSON what is right.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from liverseg.__main__ import main
from liverseg.page.uploads import Upload
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import LIVER, TUMOR, Segmentation
from liverseg.writing.labels import write_nifti

FAULTS = Path(__file__).resolve().parents[2] / "shared" / "faults"
NEAR = 0.03  # of an area, where pictures were saved with loss

RIGHT_COUNTS = (
    "names_of_tumor_masks",
    "dicom_labels_with_rescale",
    "labels_scaled_by_nibabel",
    "png_masks_of_head_first_dicom",
)
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


Right = Callable[[dict, dict], bool]  # of a case's facts and the report of `inspect`


def is_read(facts: dict, report: dict) -> bool:
    """Whether the scan has the slices that it should have."""
    return report["outcome"] == "accepted" and report["shape_zyx"][0] == facts["slices"]


def is_left_out(facts: dict, report: dict) -> bool:
    return is_read(facts, report) and report["notices"][0].startswith("Left out: ")


def is_right_dicom(facts: dict, report: dict) -> bool:
    """Whether the values are right too."""
    return is_read(facts, report) and report["hu_range"] == facts["hu_range"]


def is_read_or_a_choice(facts: dict, report: dict) -> bool:
    if facts["slices"] is None:
        return report["outcome"] == "refused" and "2 scans" in report["message"]
    return is_read(facts, report)


def has_right_truth(facts: dict, report: dict) -> bool:
    found = report.get("truth") or {}
    counts = ("liver_voxels", "tumor_voxels")
    return all(found.get(name) == facts[name] for name in counts) and not found["notices"]


def is_one_scan_or_a_choice(facts: dict, report: dict) -> bool:
    """Whether the slices are those of one scan, and the number of scans is never guessed."""
    if facts["slices"] is None:
        return report["outcome"] == "refused" and len(report["choice"]["options"]) == 3
    masks = "masks" in facts["right"].partition(",")[2]
    return is_read(facts, report) and ("choice" in report) == masks


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
    "pictures_of_more_than_one_scan": is_one_scan_or_a_choice,
    "tilted_scan_export": is_spaced,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_generators_cases_are_read_as_they_were_meant(tmp_path, capsys, name):
    wrong = {}
    for facts in cases_of(name, tmp_path):
        truth = ["--truth", facts["truth"]] if facts["truth"] else []
        main(["inspect", facts["scan"], *truth])
        report = json.loads(capsys.readouterr().out)
        if not RIGHT[name](facts, report):
            wrong[facts["case"]] = report
    assert not wrong


def test_masks_lie_on_the_slices_on_which_they_were_drawn(tmp_path):
    (facts,) = cases_of("png_masks_of_head_first_dicom", tmp_path)
    volume = read_scan(facts["scan"])
    truth = read_truth(facts["truth"], volume)
    by_slice = facts["liver_voxels_by_slice_from_the_feet"]
    assert truth.liver.sum(axis=(1, 2)).tolist() == by_slice
    assert volume.hu[truth.liver].mean() == pytest.approx(facts["mean_hu_in_liver"], abs=0.1)


def test_long_names_keep_the_order_of_slices_through_the_api(tmp_path):
    """As far as it is the project's own: from the names that arrive to the scan."""
    for facts in cases_of("api_long_picture_names", tmp_path):
        files = list(Path(facts["scan"]).iterdir())
        right = read_scan(facts["scan"])
        folder = tmp_path / "reading" / facts["case"]
        Upload(files, [path.name for path in files]).move_to(folder)
        assert np.array_equal(read_scan(folder).hu, right.hu)


@pytest.mark.slow
def test_a_tilted_scans_labels_are_found_where_they_lie(tmp_path):
    (facts,) = cases_of("tilted_scan_export", tmp_path / "scan")
    volume = read_scan(facts["scan"])
    labels = np.zeros(volume.shape, np.uint8)
    labels[0, 64, 64], labels[-1, 64, 64] = LIVER, TUMOR
    path = write_nifti(Segmentation(labels), volume, tmp_path / "labels.nii.gz")
    image = SimpleITK.ReadImage(str(path))
    places = facts["lps_mm_of_voxel_64_64_on_the_first_and_last_slice"]
    found = [image[image.TransformPhysicalPointToIndex(place)] for place in places]
    assert found == [LIVER, TUMOR]
