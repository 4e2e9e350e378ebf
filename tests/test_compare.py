"""`compare`: any masks against a ground truth, with the page's numbers and without the networks."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from liverseg import Segmentation, Spacing, make_phantom
from liverseg.__main__ import ACCEPTED, REFUSED, main
from liverseg.phantom.files import placed, write_dicom, write_ircadb_masks
from liverseg.reading.workers import Readers
from liverseg.scores.findings import find
from liverseg.sentences import say
from liverseg.writing.labels import write_nifti, write_png
from liverseg.writing.report import report
from liverseg.writing.tables import to_csv, to_json

SHAPE, SPACING = (6, 64, 64), Spacing(5.0, 5.6, 5.6)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A scan, its truth, and a segmentation that is wrong in part, as files of several formats."""
    folder = tmp_path_factory.mktemp("case")
    volume, truth = make_phantom(3, shape=SHAPE, spacing=SPACING)
    prediction = Segmentation(np.roll(truth.labels, 1, axis=2))
    write_dicom(volume, folder / "scan")
    write_ircadb_masks(truth, volume, folder / "truth")
    write_ircadb_masks(prediction, volume, folder / "dicom")
    write_nifti(prediction, placed(volume), folder / "prediction.nii.gz")
    (folder / "png").mkdir()
    write_png(prediction, folder / "png")
    return folder, prediction, truth


def arguments(folder, prediction, *more):
    scan, truth = folder / "scan", folder / "truth"
    words = ["compare", scan, "--prediction", prediction, "--truth", truth, *more]
    return list(map(str, words))


@pytest.mark.parametrize("format", ["dicom", "prediction.nii.gz", "png"])
def test_the_files_hold_what_the_page_shows(case, tmp_path, format):
    folder, prediction, truth = case
    assert main(arguments(folder, folder / format, "--out", tmp_path)) == ACCEPTED
    readers = Readers()
    volume = readers.read_scan(folder / "scan")
    readers.close()
    shown = find(volume, prediction, say("label.given"), truth, surfaces=False).with_surfaces()
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    expected = json.loads(to_json(shown))
    for part in (
        "scores",
        "surface_dice",
        "lesion_quality",
        "measurements",
        "shape_zyx",
        "spacing_zyx_mm",
        "weights",
    ):
        assert written[part] == expected[part]
    rows = [
        list(csv.reader(text.splitlines()))
        for text in ((tmp_path / "measurements.csv").read_text(encoding="utf-8"), to_csv(shown))
    ]
    numbers = [[row for row in table if row[0] != "Note"] for table in rows]
    assert numbers[0] == numbers[1]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.split("<h2>What")[0].rstrip() == report(shown).split("<h2>What")[0].rstrip()
    assert 0 < written["scores"]["liver"]["dice"] < 1


def test_without_a_folder_json_is_printed(case, capsys):
    folder, *_ = case
    assert main(arguments(folder, folder / "dicom")) == ACCEPTED
    assert json.loads(capsys.readouterr().out)["scores"]["liver"]["dice"] > 0.5


def test_neither_network_nor_weights_are_loaded(case, tmp_path):
    folder, *_ = case
    program = (
        "import sys; from liverseg.__main__ import main\n"
        f"code = main({arguments(folder, folder / 'dicom', '--out', tmp_path)!r})\n"
        "loaded = {'onnxruntime', 'tensorflow', 'keras', 'gradio'} & set(sys.modules)\n"
        "assert code == 0 and not loaded, (code, loaded)\n"
    )
    environment = {**os.environ, "LIVERSEG_WEIGHTS": str(tmp_path / "none")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_a_refusal_says_which_of_the_masks_it_is_about(case, tmp_path, capsys):
    folder, *_ = case
    (tmp_path / "patient-name.txt").write_text("no masks")
    assert main(arguments(folder, tmp_path / "patient-name.txt")) == REFUSED
    said = capsys.readouterr().err
    assert said.startswith("About your segmentation")
    assert "patient-name" not in said
    broken = arguments(folder, folder / "dicom")
    broken[-1] = str(tmp_path / "patient-name.txt")
    assert main(broken) == REFUSED
    assert "About your segmentation" not in capsys.readouterr().err


def test_what_is_noticed_about_the_segmentation_is_not_said_of_the_truth(case, capsys):
    folder, *_ = case
    assert main(arguments(folder, folder / "dicom" / "MASKS_DICOM" / "liver")) == ACCEPTED
    notices = json.loads(capsys.readouterr().out)["notices"]
    about = [one for one in notices if one.startswith("About your segmentation")]
    assert any("has no tumors" in one for one in about)
    assert not any("has no tumors" in one for one in notices if one not in about)


def test_links_are_followed_on_the_command_line(case, tmp_path, capsys):
    folder, *_ = case
    for file in (folder / "scan").iterdir():
        (tmp_path / file.name).symlink_to(file)
    words = arguments(folder, folder / "dicom")
    words[1] = str(tmp_path)
    assert main(words) == ACCEPTED
    assert json.loads(capsys.readouterr().out)["shape_zyx"] == list(SHAPE)
