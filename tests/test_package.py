"""The package as pip installs it: what it needs, and that it works outside of this tree."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import liverseg

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def lines_of(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r"))}


def test_a_space_installs_the_package_with_page_and_training():
    needed = [*PROJECT["project"]["dependencies"], *EXTRAS["page"], *EXTRAS["train"]]
    assert lines_of("requirements.txt") == set(needed)


def test_the_tests_need_all_extras_that_a_space_does_not():
    needed = {*EXTRAS["dev"], *EXTRAS["cohort"], *EXTRAS["cluster"]}
    assert lines_of("tests/requirements.txt") == needed - lines_of("requirements.txt")


def test_the_version_is_said_in_one_way():
    assert PROJECT["project"]["version"] == liverseg.__version__


def test_every_folder_of_code_is_packed():
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "liverseg").rglob("__init__.py")
    }
    packed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert packed == folders | {"liverseg.shipped_weights"}


@pytest.mark.slow
def test_the_wheel_works_outside_of_the_tree(tmp_path):
    """Built and unpacked as pip does it; the networks come with it, the page's libraries do not."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("liverseg-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", site / "bin" / "liverseg", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert run("--version") == f"liverseg {liverseg.__version__}\n"
    run("phantom", "--out", "case", "--seed", "3")
    run("segment", "case/PATIENT_DICOM", "--truth", "case/MASKS_DICOM", "--out", "found")
    report = (tmp_path / "found" / "report.json").read_text(encoding="utf-8")
    assert float(re.search(r'"dice": (0\.\d+)', report)[1]) > 0.8
    assert (tmp_path / "found" / "segmentation.nii.gz").is_file()
    program = "import liverseg.page.handlers, liverseg.evaluation.readme_tables as t; print(t)"
    where = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(site) in where.stdout
