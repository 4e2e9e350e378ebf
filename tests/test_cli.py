"""The command line, run as a person runs it, on a phantom's files."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from liverseg import Spacing, make_phantom
from liverseg.__main__ import ACCEPTED, DEVELOPER_COMMANDS, REFUSED, main
from liverseg.phantom.files import lps_affine, write_dicom, write_ircadb_masks

SHAPE, SPACING = (12, 128, 128), Spacing(5.0, 2.8, 2.8)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    volume, truth = make_phantom(3, shape=SHAPE, spacing=SPACING)
    write_dicom(volume, folder / "PATIENT_DICOM")
    write_ircadb_masks(truth, volume, folder)
    return folder, volume, truth


def run_inspect(capsys, *arguments) -> tuple[int, dict]:
    code = main(["inspect", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


def test_inspect_says_what_was_found(case, capsys):
    folder, volume, truth = case
    code, report = run_inspect(capsys, folder / "PATIENT_DICOM", "--truth", folder / "MASKS_DICOM")
    assert code == ACCEPTED
    assert report["outcome"] == "accepted"
    assert report["kind"] == "dicom"
    assert report["shape_zyx"] == list(SHAPE)
    assert report["spacing_zyx_mm"] == pytest.approx(SPACING)
    assert report["hu_range"] == [int(volume.hu.min()), int(volume.hu.max())]
    assert report["truth"]["liver_voxels"] == truth.liver.sum()
    assert report["truth"]["tumor_voxels"] == truth.tumor.sum()


def test_inspect_follows_links_to_files(case, tmp_path, capsys):
    folder, _, truth = case
    for file in filter(Path.is_file, sorted(folder.rglob("*"))):
        link = tmp_path / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    scan, masks = tmp_path / "PATIENT_DICOM", tmp_path / "MASKS_DICOM"
    code, report = run_inspect(capsys, scan, "--truth", masks)
    assert code == ACCEPTED
    assert report["truth"]["liver_voxels"] == truth.liver.sum()


def test_inspect_refuses_with_a_sentence_and_exit_code_2(tmp_path):
    text = tmp_path / "patient-name.txt"
    text.write_text("not a scan")
    done = subprocess.run(
        [sys.executable, "-m", "liverseg", "inspect", str(text)], capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert done.returncode == REFUSED
    assert report["outcome"] == "refused"
    assert report["message"].endswith(".")
    assert "patient-name" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_segment_writes_the_mask_where_the_scan_is(case, tmp_path):
    folder, volume, _ = case
    scan, masks = str(folder / "PATIENT_DICOM"), str(folder / "MASKS_DICOM")
    code = main(["segment", scan, "--truth", masks, "--out", str(tmp_path)])
    assert code == ACCEPTED
    written = nibabel.load(tmp_path / "segmentation.nii.gz")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert written.shape == SHAPE[::-1]
    corner_ras = np.array([-1, -1, 1]) * lps_affine(volume)[:3, 3]
    assert written.affine[:3, 3] == pytest.approx(corner_ras)
    assert report["scores"]["liver"]["dice"] is not None


@pytest.mark.parametrize(
    ("scan", "truth", "shape", "spacing", "liver_voxels"),
    [
        (
            "ircad_01_PATIENT_DICOM.zip",
            "ircad_01_liver.nii.gz",
            (129, 512, 512),
            (1.6, 0.57, 0.57),
            2_865_131,
        ),
        (
            "ircad_01_PATIENT_DICOM.zip",
            "ircad_01_MASKS_DICOM_liver.zip",
            (129, 512, 512),
            (1.6, 0.57, 0.57),
            2_865_131,
        ),
        (
            "totalseg_20_dicom.zip",
            "totalseg_20_liver.nii.gz",
            (20, 512, 512),
            (2.0, 0.9766, 0.9766),
            366_708,
        ),
    ],
)
def test_inspect_reads_real_uploads(uploads, capsys, scan, truth, shape, spacing, liver_voxels):
    code, report = run_inspect(capsys, uploads / scan, "--truth", uploads / truth)
    assert code == ACCEPTED
    assert report["shape_zyx"] == list(shape)
    assert report["spacing_zyx_mm"] == pytest.approx(spacing, abs=0.005)
    assert report["truth"]["liver_voxels"] == liver_voxels


def test_inspect_reads_a_real_dicom_seg(uploads, capsys):
    folder = uploads / "dcmqi_ct3"
    seg = folder / "liver_seg.dcm"
    slices = sorted(path for path in folder.iterdir() if path != seg)
    code, report = run_inspect(capsys, *slices, "--truth", seg)
    assert code == ACCEPTED
    assert report["shape_zyx"] == [3, 512, 512]
    assert report["truth"]["liver_voxels"] == 107_098


@pytest.mark.parametrize("command", sorted(DEVELOPER_COMMANDS))
def test_a_developers_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_the_ablations_narrow_networks_learn_without_onednn(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "as it was")  # so that it is put back
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setattr(sys, "argv", ["liverseg", "ablate", "--help"])
    monkeypatch.delitem(sys.modules, "liverseg.__main__")  # as in a process that begins with it
    with pytest.raises(SystemExit):
        runpy.run_module("liverseg", run_name="__main__")
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inspect nothing.zip", "there is no nothing.zip"),
        ("segment scan.txt --out scan.txt", "no folder that can be written to"),
        ("phantom --out scan.txt/in", "no folder that can be written to"),
        ("phantom --out new --seed -1", "expected one argument|a number from 0"),
        ("phantom --out new --seed=-1", "a number from 0"),
    ],
)
def test_mistakes_on_the_command_line_are_said_before_any_work(
    tmp_path, monkeypatch, capsys, command, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.txt").write_text("no folder")
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == REFUSED
    assert re.search(words, capsys.readouterr().err)


def test_a_data_set_that_is_none_is_refused_in_a_sentence(tmp_path, capsys):
    assert main(["evaluate", "--data", str(tmp_path), "--split", "test"]) == REFUSED
    assert "holds no slice folders" in capsys.readouterr().err
