"""Many studies: found, named by content, run so that each may fail alone, and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed
import numpy as np
import pytest
from pyarrow import parquet

from liverseg import Segmentation, Spacing, make_phantom
from liverseg.__main__ import REFUSED, main
from liverseg.cohort import process, store
from liverseg.cohort.engines import run_on_dask
from liverseg.cohort.keys import SOURCES, keyed_studies
from liverseg.cohort.run import ALL_DONE, SOME_FAILED, Options, run_cohort
from liverseg.cohort.studies import Study, find_studies
from liverseg.cohort.study import Job
from liverseg.errors import DataError
from liverseg.phantom.files import placed, write_dicom, write_ircadb_masks
from liverseg.writing.labels import write_nifti
from tests.helpers.failing_studies import BREAKS, COMMAND, CRASHES, EATS, HANGS

SHAPE, SPACING = (6, 48, 48), Spacing(8.0, 7.5, 7.5)


def found_in(root: Path, predictions: Path | None = None) -> list[tuple]:
    """Relative paths of scan, truth and, where these are looked for, prediction."""

    def short(paths, base):
        return " ".join(path.relative_to(base).as_posix() for path in paths)

    return [
        (
            short(one.scan, root),
            short(one.truth, root),
            *([short(one.prediction, predictions)] if predictions else []),
        )
        for one in find_studies(root, predictions)
    ]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


# --- finding ---


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (  # LiTS, in folders as it is downloaded
            ["a/volume-0.nii", "a/volume-10.nii", "b/segmentation-0.nii", "b/segmentation-10.nii"],
            [("a/volume-0.nii", "b/segmentation-0.nii"),
             ("a/volume-10.nii", "b/segmentation-10.nii")],
        ),
        (  # MSD
            ["imagesTr/liver_0.nii.gz", "labelsTr/liver_0.nii.gz", "imagesTs/liver_1.nii.gz",
             "imagesTr/._liver_0.nii.gz"],
            [("imagesTr/liver_0.nii.gz", "labelsTr/liver_0.nii.gz"),
             ("imagesTs/liver_1.nii.gz", "")],
        ),
        (  # nnU-Net
            ["imagesTr/c_7_0000.nii.gz", "labelsTr/c_7.nii.gz"],
            [("imagesTr/c_7_0000.nii.gz", "labelsTr/c_7.nii.gz")],
        ),
        (  # BIDS-style
            ["sub-01/ct/sub-01_ct.nii.gz", "derivatives/me/sub-01/sub-01_label-liver_dseg.nii.gz"],
            [("sub-01/ct/sub-01_ct.nii.gz",
              "derivatives/me/sub-01/sub-01_label-liver_dseg.nii.gz")],
        ),
        (  # as of TotalSegmentator: liver and tumors are two masks
            ["s1/ct.nii.gz", "s1/masks/liver.nii.gz", "s1/masks/liver_tumor.nii.gz"],
            [("s1/ct.nii.gz", "s1/masks/liver.nii.gz s1/masks/liver_tumor.nii.gz")],
        ),
        (  # pairs in a folder, and the same names in two
            ["x/case1.nii.gz", "x/case1_seg.nii.gz", "y/case1.nii.gz", "y/case1-label.nii"],
            [("x/case1.nii.gz", "x/case1_seg.nii.gz"), ("y/case1.nii.gz", "y/case1-label.nii")],
        ),
        (  # a folder for each
            ["p1/scan.nii.gz", "p1/truth.nii.gz", "p2/scan.nii.gz"],
            [("p1/scan.nii.gz", "p1/truth.nii.gz"), ("p2/scan.nii.gz", "")],
        ),
        (  # 3D-IRCADb, unpacked and packed
            ["3Dircadb1.1/PATIENT_DICOM/1.dcm", "3Dircadb1.1/MASKS_DICOM/liver/1.dcm",
             "3Dircadb1.1/MASKS_DICOM/livertumor/1.dcm", "3Dircadb1.1/LABELLED_DICOM/1.dcm",
             "3Dircadb1.2/PATIENT_DICOM.zip", "3Dircadb1.2/MASKS_DICOM.zip"],
            [("3Dircadb1.1/PATIENT_DICOM", "3Dircadb1.1/MASKS_DICOM"),
             ("3Dircadb1.2/PATIENT_DICOM.zip", "3Dircadb1.2/MASKS_DICOM.zip")],
        ),
        (  # folders and zips of DICOM
            ["ann/1.dcm", "bob.zip", "bob_masks.zip"],
            [("bob.zip", "bob_masks.zip"), ("ann", "")],
        ),
    ],
)  # fmt: skip
def test_studies_are_found_by_the_layouts_that_people_have(tmp_path, files, expected):
    assert sorted(found_in(touch(tmp_path, *files))) == sorted(expected)


def test_predictions_are_those_of_the_scans_name(tmp_path):
    scans = touch(
        tmp_path / "in", "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/a.nii"
    )
    masks = touch(tmp_path / "mine", "a.nii.gz", "c.nii.gz")
    first, second = find_studies(scans, masks)
    assert first.prediction == (masks / "a.nii.gz",)
    assert first.truth == (scans / "labelsTr/a.nii",)
    assert second.problem.code == "cohort.no_prediction"


def test_predictions_of_one_name_are_told_apart_by_their_folders_or_not_at_all(tmp_path):
    scans = touch(tmp_path / "in", "x/a.nii", "y/a.nii")
    ordered = touch(tmp_path / "ordered", "x/a.nii", "y/a.nii")
    assert [one[2] for one in found_in(scans, ordered)] == ["x/a.nii", "y/a.nii"]
    other = touch(tmp_path / "other", "1/a.nii", "2/a.nii")
    assert {one.problem.code for one in find_studies(scans, other)} == {
        "cohort.several_predictions"
    }


def test_predictions_below_the_scans_are_no_scans(tmp_path):
    root = touch(tmp_path, "a.nii", "mine/a.nii")
    assert found_in(root, root / "mine") == [("a.nii", "", "a.nii")]


def test_a_list_names_scans_and_masks_relative_to_itself(tmp_path):
    (tmp_path / "list.csv").write_text("\ufeffscan,truth,prediction\na.zip,,b.nii;c.nii\n,x,\n")
    (study,) = find_studies(tmp_path / "list.csv")
    assert study == Study((tmp_path / "a.zip",), (tmp_path / "b.nii", tmp_path / "c.nii"))


@pytest.mark.parametrize(
    ("text", "code"), [("image\na\n", "no_scan_column"), ("scan\n", "no_studies")]
)
def test_a_list_without_scans_is_refused(tmp_path, text, code):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError) as refusal:
        find_studies(tmp_path / "list.csv")
    assert refusal.value.code == f"cohort.{code}"


def test_a_folder_without_scans_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("nothing")
    assert main(["cohort", str(tmp_path), "--out", str(tmp_path / "out")]) == REFUSED
    assert "No studies were found" in capsys.readouterr().err


# --- keys ---


def keys_of(studies, out, segmenter="networks"):
    return [one.key for one in keyed_studies(studies, out, segmenter, 1, lambda count: None)]


def test_a_key_is_of_what_files_hold_and_not_of_where_they_are(tmp_path):
    for name, content in (("ann/1", b"a"), ("ann/2", b"b"), ("bob/x", b"b"), ("bob/y", b"a")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    ann, bob, part = (tmp_path / "ann",), (tmp_path / "bob",), (tmp_path / "ann/1",)
    same = keys_of([Study(ann), Study(bob)], tmp_path)
    assert same[0] == same[1]
    others = [
        Study(part),
        Study(ann, prediction=part),
        Study(ann, truth=part),
        Study(ann, truth=bob),
    ]
    assert len({*same, *keys_of(others, tmp_path)}) == 5
    assert keys_of([Study(ann)], tmp_path, "other networks") != same[:1]
    given = [Study(ann, prediction=bob)]
    assert keys_of(given, tmp_path) == keys_of(given, tmp_path, "other networks")


def test_the_names_of_masks_count_since_they_say_what_each_shows(tmp_path):
    for name in ("a/liver/1", "b/spleen/1"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"mask")
    scan = (tmp_path / "a/liver/1",)
    studies = [Study(scan, truth=(tmp_path / name,)) for name in ("a", "b")]
    assert len(set(keys_of(studies, tmp_path))) == 2


def test_files_that_have_not_changed_are_not_read_again(tmp_path):
    scan = tmp_path / "scan.nii"
    scan.write_bytes(b"one")
    (before,) = keys_of([Study((scan,))], tmp_path)
    about = scan.stat()
    scan.write_bytes(b"two")
    os.utime(scan, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert keys_of([Study((scan,))], tmp_path) == [before]
    os.utime(scan, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert keys_of([Study((scan,))], tmp_path) != [before]


# --- running ---


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Good studies as DICOM and NIfTI, two of them equal, and bad ones of every kind."""
    root = tmp_path_factory.mktemp("patient-name")
    volume, truth = make_phantom(0, shape=SHAPE, spacing=SPACING)
    moved = Segmentation(np.roll(truth.labels, 1, axis=2))
    write_dicom(volume, root / "in/good/PATIENT_DICOM")
    write_ircadb_masks(truth, volume, root / "in/good/MASKS_DICOM")
    write_nifti(moved, placed(volume), root / "mine/good.nii.gz")
    for name in ("equal1", "equal2"):
        write_nifti(volume, placed(volume), root / f"in/{name}.nii.gz")
        write_nifti(truth, placed(volume), root / f"mine/{name}.nii.gz")
    for slices, name in ((CRASHES, "crash"), (HANGS, "hang"), (EATS, "eat"), (BREAKS, "break")):
        long, labels = make_phantom(1, shape=(slices, 24, 24), spacing=Spacing(8, 15, 15))
        write_nifti(long, placed(long), root / f"in/{name}.nii.gz")
        write_nifti(labels, placed(long), root / f"mine/{name}.nii.gz")
    (root / "in/corrupt.nii.gz").write_bytes((root / "in/equal1.nii.gz").read_bytes()[:2000])
    (root / "mine/corrupt.nii.gz").write_bytes((root / "mine/equal1.nii.gz").read_bytes())
    write_nifti(truth, placed(volume), root / "in/alone.nii.gz")
    return root


OPTIONS = {"workers": 2, "time_limit_s": 9, "memory_mb": 700, "command": COMMAND}


@pytest.fixture(scope="module")
def finished(cohort):
    out = cohort / "out"
    out.mkdir()
    code = run_cohort(cohort / "in", out, Options(prediction=cohort / "mine", **OPTIONS))
    return code, out


def table(out: Path) -> dict[str, dict]:
    """The rows of cohort.csv by the name of the first source."""
    with (out / SOURCES).open() as lines:
        names = {}
        for line in csv.DictReader(lines):
            path = Path(line["scan"])
            names.setdefault(line["key"], path.name.split(".")[0].replace("PATIENT_DICOM", "good"))
    with (out / "cohort.csv").open() as lines:
        return {names[row["key"]]: row for row in csv.DictReader(lines)}


def test_each_study_that_fails_is_a_sentence_and_the_others_are_done(finished):
    code, out = finished
    rows = table(out)
    assert code == SOME_FAILED
    assert {name for name, row in rows.items() if row["state"] == "done"} == {"good", "equal1"}
    for name, words in (
        ("crash", "ended unexpectedly"),
        ("hang", "longer than 9 seconds"),
        ("eat", "more than 700 MB"),
        ("break", "error in liverseg itself"),
        ("corrupt", "damaged"),
        ("alone", "No prediction"),
    ):
        assert words in rows[name]["reason"], name
        assert rows[name]["state"] == "failed"
    states = [row["state"] for row in rows.values()]
    assert states == sorted(states, reverse=True)  # the failed ones first


def test_equal_studies_are_one_result_with_both_sources(finished):
    _, out = finished
    assert table(out)["equal1"]["sources"] == "2"
    assert "equal2" not in table(out)


def test_the_numbers_are_those_of_compare(finished, cohort, capsys):
    _, out = finished
    row = table(out)["good"]
    words = ["compare", cohort / "in/good/PATIENT_DICOM", "--truth", cohort / "in/good/MASKS_DICOM"]
    assert main([*map(str, words), "--prediction", str(cohort / "mine/good.nii.gz")]) == 0
    report = json.loads(capsys.readouterr().out)
    for structure in ("liver", "tumor"):
        numbers = report["scores"][structure] | report["surface_dice"][structure]
        for key in ("dice", "hd95_mm", "nsd_2mm"):
            assert float(row[f"{structure}_{key}"]) == numbers[key]
    assert float(row["liver_ml"]) == report["measurements"]["liver_ml"]
    assert row["tumor_rvd"] != ""


def test_each_study_has_its_files(finished):
    _, out = finished
    folder = store.folder_of(out, table(out)["good"]["key"])
    names = {"run.json", "row.json", "segmentation.nii.gz", "segmentation.dcm", "thumbnail.webp"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "thumbnail.webp").stat().st_size < 30_000
    manifest = store.read(folder / "run.json")
    assert manifest["state"] == "done"
    assert manifest["files"] == sorted(names - {"run.json"})


def test_nothing_but_the_list_of_sources_names_a_file_or_a_patient(finished):
    _, out = finished
    secret = (b"patient-name", b"PHANTOM", b"equal1", b"Synthetic")
    for path in out.rglob("*"):
        if path.is_file() and path.name not in (SOURCES, "segmentation.dcm"):
            content = path.read_bytes()
            assert not [word for word in secret if word in content], path.name


def test_parquet_holds_the_same_table(finished):
    _, out = finished
    found = parquet.read_table(out / "cohort.parquet").to_pylist()
    assert [row["key"] for row in found] == [row["key"] for row in table(out).values()]


def test_a_second_run_does_only_what_failed(finished, cohort):
    """With the real process and more time, what hung is done; what was done is not touched."""
    _, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("segmentation.nii.gz")}
    options = Options(prediction=cohort / "mine", workers=2)
    assert run_cohort(cohort / "in", out, options) == SOME_FAILED  # corrupt, and one without masks
    rows = table(out)
    failed = {name for name, row in rows.items() if row["state"] == "failed"}
    assert failed == {"corrupt", "alone"}
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_what_a_killed_process_had_begun_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), store.writing(tmp_path, "key") as folder:
        (folder / "half").write_text("a study")
        raise KeyboardInterrupt
    assert not store.folder_of(tmp_path, "key").exists()
    begun = tmp_path / store.STUDIES / f"{store.BEGUN}key-x"
    begun.mkdir()
    os.utime(begun, (0, 0))
    store.remove_begun(tmp_path)
    assert not begun.exists()


def test_a_result_of_another_version_is_made_anew(tmp_path, monkeypatch):
    with store.writing(tmp_path, "key") as folder:
        store.write_manifest(folder, store.DONE, files=["row.json"])
    assert store.is_done(tmp_path, "key")
    assert not store.is_done(tmp_path, "key", ("report.html",))
    monkeypatch.setattr(store, "__version__", "9")
    assert not store.is_done(tmp_path, "key")


def test_a_study_gets_its_share_of_the_cores(tmp_path):
    program = "import os; print(os.environ['LIVERSEG_THREADS'], os.environ['OMP_NUM_THREADS'])"
    started = process._started((sys.executable, "-c", program), 3)
    assert started.communicate(timeout=60)[0].split() == [b"3", b"3"]


def test_the_process_ends_with_its_parent(tmp_path):
    program = (
        "import sys, time; from liverseg.cohort.process import StudyProcess, COMMAND\n"
        "one = StudyProcess(COMMAND, 1); print(one._process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_dask_runs_the_same_function_with_the_same_results(finished, cohort, tmp_path):
    _, reference = finished
    lines = ["scan,prediction,truth", "in/crash.nii.gz,mine/crash.nii.gz,"]
    lines.append("in/good/PATIENT_DICOM,mine/good.nii.gz,in/good/MASKS_DICOM")
    (cohort / "list.csv").write_text("\n".join(lines))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        address = cluster.scheduler_address
        code = run_cohort(cohort / "list.csv", tmp_path, Options(scheduler=address, **OPTIONS))
    assert code == SOME_FAILED
    there, here = table(tmp_path), table(reference)
    times = {"seconds": "", "peak_mb": "", "verdict": "", "reason": "", "outlier_score": ""}
    assert there["good"] | times == here["good"] | times
    assert there["crash"] | times == {**there["crash"], **times, "state": "failed"}


def test_a_scheduler_that_is_not_there_is_said(tmp_path, monkeypatch):
    connect = distributed.Client
    monkeypatch.setattr(
        distributed, "Client", lambda at, **how: connect(at, **how | {"timeout": 1})
    )
    with pytest.raises(DataError) as refusal:
        run_on_dask([Job("key", str(tmp_path), ())], "tcp://127.0.0.1:9", lambda key: None)
    assert refusal.value.code == "cohort.scheduler_gone"


def test_without_dask_a_scheduler_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DataError) as refusal:
        run_on_dask([], "tcp://127.0.0.1:9", lambda key: None)
    assert refusal.value.code == "cohort.no_dask"
    assert "liverseg[cluster]" in str(refusal.value)


def test_without_networks_none_is_loaded_and_dask_only_when_asked_for(cohort, tmp_path):
    program = (
        "import sys; from liverseg.__main__ import main\n"
        f"code = main(['cohort', {str(cohort / 'in/good')!r}, '--prediction', "
        f"{str(cohort / 'mine')!r}, '--out', {str(tmp_path)!r}])\n"
        "heavy = {'tensorflow', 'keras', 'gradio', 'distributed', 'onnxruntime'}\n"
        "loaded = heavy & set(sys.modules)\n"
        f"assert code == {ALL_DONE} and not loaded, (code, loaded)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
