"""What the notebook installs: nothing in place of what a GPU machine was set up with."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tests.tools import install_notebook as install
from tests.tools.execute_notebook import NOTEBOOK

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COLAB = {"tensorflow": "2.19.0", "keras": "3.10.0", "numpy": "2.0.2", "pillow": "11.3.0"}


def names(requirements):
    return {install._name(one) for one in requirements}


def test_a_gpu_machine_keeps_its_tensorflow_keras_and_numpy():
    requirements, constraints = install.plan(PROJECT, COLAB)
    assert constraints == ["keras==3.10.0", "numpy==2.0.2", "tensorflow==2.19.0"]
    assert not names(requirements) & {"tensorflow", "tensorflow-cpu", "keras", "numpy"}
    assert {"pydicom", "onnx", "pillow", "lazy-loader", "matplotlib"} <= names(requirements)
    assert not names(requirements) & {"gradio", "plotly"}  # only the page needs them


def test_a_bare_machine_gets_all_that_training_needs():
    requirements, constraints = install.plan(PROJECT, {})
    assert constraints == []
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]]
    assert set(wanted) < set(requirements)


@pytest.fixture
def pip(monkeypatch):
    """Takes pip's place: notes what it is asked for, and "installs" what `after` says."""

    class Pip:
        def __init__(self):
            self.asked, self.status, self.after = [], 0, {}

        def run(self, command, **options):
            constraints = Path(command[command.index("--constraint") + 1]).read_text()
            self.asked.append((command, constraints))
            monkeypatch.setattr(install, "installed", lambda: self.after)
            return subprocess.CompletedProcess(command, self.status)

    stand_in = Pip()
    monkeypatch.setattr(install, "installed", lambda: COLAB)
    monkeypatch.setattr(install, "loaded", lambda: {"pillow": "11.3.0", "numpy": "2.0.2"})
    monkeypatch.setattr(install.subprocess, "run", stand_in.run)
    return stand_in


def test_nothing_is_said_where_nothing_in_use_was_updated(pip):
    pip.after = COLAB | {"pydicom": "3.0.2"}
    install.main()
    ((command, constraints),) = pip.asked
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "numpy==2.0.2" in constraints.splitlines()


def test_a_restart_is_asked_for_where_a_package_in_use_was_updated(pip):
    pip.after = COLAB | {"pillow": "12.3.0"}
    with pytest.raises(SystemExit, match=r"updated: pillow\. Restart the session"):
        install.main()


def test_where_pip_fails_the_notebook_stops(pip):
    pip.status = 1
    with pytest.raises(SystemExit, match="1"):
        install.main()


def test_packages_in_use_are_known_by_the_modules_that_were_imported():
    found = install.loaded()
    assert found["numpy"] == np.__version__
    assert "pytest" in found
    assert "gradio" not in found or "gradio" in sys.modules


def first_cell() -> str:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    source = next(cell.source for cell in cells if cell.cell_type == "code")
    return "\n".join(line for line in source.splitlines() if not line.startswith("%"))


def test_the_notebook_opened_alone_clones_its_repository_once(tmp_path, monkeypatch):
    cloned = []

    def run(command, check):
        assert check
        cloned.append(command)
        (tmp_path / command[-1] / "liverseg" / "training").mkdir(parents=True)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("LIVERSEG_SOURCE", "https://example.org/liverseg")
    for _ in range(2):  # the second time after a restart
        monkeypatch.chdir(tmp_path)
        exec(compile(first_cell(), "cell", "exec"), {})
        assert Path.cwd() == Path(sys.path[0]) == tmp_path / "repository"
    ((git, clone, *_, source, folder),) = cloned
    assert (git, clone, source) == ("git", "clone", "https://example.org/liverseg")
    assert folder == "repository"


def test_the_notebook_in_its_repository_clones_nothing(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "run", None)
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "tensorflow"))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"))
    exec(compile(first_cell(), "cell", "exec"), {})
    assert Path.cwd() == ROOT
