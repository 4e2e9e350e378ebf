"""A cohort that is killed at any moment and run again ends as one that was left alone.

A small sample runs with all tests; two hundred studies and Dask by `-m campaign`.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from liverseg.cohort.run import Options, run_cohort
from liverseg.cohort.store import MANIFEST, STUDIES
from tests.helpers.cohort_files import write_pairs
from tests.helpers.failing_studies import BREAKS, COMMAND, CRASHES, EATS, HANGS
from tests.helpers.processes import descendants

PATIENCE_S = 300
TIMES = ("seconds", "peak_mb")
DASK = Path(sys.executable).with_name("dask")


def rows(out: Path) -> list[dict]:
    with (out / "cohort.csv").open() as lines:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(lines)
        ]


def started(scans: Path, masks: Path, out: Path, *more: str) -> subprocess.Popen:
    words = ["cohort", scans, "--prediction", masks, "--out", out, "--workers", "2", *more]
    command = [sys.executable, "-m", "liverseg", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def wait_for(out: Path, count: int) -> None:
    """Until so many studies are finished."""
    end = time.monotonic() + PATIENCE_S
    while len(list((out / STUDIES).glob(f"[!.]*/{MANIFEST}"))) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def killed_and_resumed(scans: Path, masks: Path, out: Path, count: int, *more: str) -> None:
    """Kills a worker of a run, then the parent, and lets a second run end."""
    first = started(scans, masks, out, *more)
    wait_for(out, max(1, count // 4))
    workers = [
        pid
        for pid in descendants(first.pid)
        if "study_process" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    for pid in workers[:1]:
        kill(pid)
    wait_for(out, count // 2)
    kill(first.pid)
    first.wait()
    assert not (out / "cohort.csv").exists()
    assert started(scans, masks, out, *more).wait(PATIENCE_S) == 0


def test_a_run_whose_worker_and_parent_were_killed_is_finished_by_the_next(tmp_path):
    scans, masks = write_pairs(tmp_path, 6)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    assert run_cohort(scans, undisturbed, Options(prediction=masks, workers=2)) == 0
    killed_and_resumed(scans, masks, killed, 6)
    assert rows(killed) == rows(undisturbed)
    assert len(rows(killed)) == 6


@contextmanager
def dask(folder: Path):
    """A scheduler and two workers as commands; yields the address and the scheduler."""
    run = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": folder,
        "env": os.environ | {"PYTHONPATH": os.getcwd()},
    }
    host = ["--host", "127.0.0.1"]
    scheduler = subprocess.Popen(
        [DASK, "scheduler", "--port", "8796", "--no-dashboard", *host], **run
    )
    workers = subprocess.Popen(
        [DASK, "worker", "tcp://127.0.0.1:8796", "--nworkers", "2", "--nthreads", "1",
         "--no-dashboard", "--death-timeout", "10"],
        **run,
    )  # fmt: skip
    try:
        yield "tcp://127.0.0.1:8796", scheduler
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait(30)


@pytest.mark.campaign
def test_two_hundred_studies_some_of_them_bad_are_killed_and_resumed(tmp_path):
    import nibabel

    scans, masks = write_pairs(tmp_path, 194)
    (scans / "corrupt.nii.gz").write_bytes((scans / "case0000.nii.gz").read_bytes()[:2000])
    (masks / "corrupt.nii.gz").write_bytes((masks / "case0000.nii.gz").read_bytes())
    for slices, name in ((CRASHES, "crash"), (HANGS, "hang"), (EATS, "eat"), (BREAKS, "break")):
        image = nibabel.Nifti1Image(np.zeros((24, 24, slices), np.int16), np.eye(4))
        nibabel.save(image, scans / f"{name}.nii.gz")
        nibabel.save(image, masks / f"{name}.nii.gz")
    (scans / "twin.nii.gz").write_bytes((scans / "case0001.nii.gz").read_bytes())
    (scans / "twin_seg.nii.gz").write_bytes((scans / "case0001_seg.nii.gz").read_bytes())
    (masks / "twin.nii.gz").write_bytes((masks / "case0001.nii.gz").read_bytes())
    options = {"prediction": masks, "time_limit_s": 20, "memory_mb": 700, "command": COMMAND}
    found = {}
    for name, more in (("pool", {"workers": 2}), ("dask", {})):
        out = tmp_path / name
        out.mkdir()
        if name == "dask":
            with dask(tmp_path) as (address, _):
                assert run_cohort(scans, out, Options(scheduler=address, **options)) == 3
        else:
            assert run_cohort(scans, out, Options(**options, **more)) == 3
        found[name] = rows(out)
    assert found["pool"] == found["dask"]
    assert len(found["pool"]) == 199
    assert [row["state"] for row in found["pool"]] == ["failed"] * 5 + ["done"] * 194
    assert sorted(row["sources"] for row in found["pool"])[-1] == "2"


@pytest.mark.campaign
def test_many_kills_by_the_pool(tmp_path):
    scans, masks = write_pairs(tmp_path, 100)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert started(scans, masks, undisturbed).wait(PATIENCE_S) == 0
    killed_and_resumed(scans, masks, killed, 100)
    assert rows(killed) == rows(undisturbed)


@pytest.mark.campaign
def test_a_scheduler_that_is_killed_is_said_and_the_next_run_ends(tmp_path):
    scans, masks = write_pairs(tmp_path, 60)
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    with dask(tmp_path) as (address, scheduler):
        first = started(scans, masks, out, "--scheduler", address)
        wait_for(out, 10)
        kill(scheduler.pid)
        assert first.wait(PATIENCE_S) == 2
    with dask(tmp_path) as (address, _):
        started(scans, masks, out, "--scheduler", address).wait(PATIENCE_S)
    assert {row["reason"] for row in rows(out) if row["state"] == "failed"} == set()
    assert started(scans, masks, undisturbed).wait(PATIENCE_S) == 0
    assert rows(out) == rows(undisturbed)
