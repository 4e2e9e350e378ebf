"""What the README says exists, and its numbers are the code's."""

import re
from pathlib import Path

import pytest

from liverseg.__main__ import DEVELOPER_COMMANDS
from liverseg.page.visitors import SHARED_LIMIT
from liverseg.reading.limits import LIMITS

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("inspect", "segment", "compare", "cohort", "phantom")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_space_runs_the_gradio_that_is_pinned():
    version = re.search(r"^sdk_version: (.+)$", README, re.M).group(1)
    assert f"gradio=={version}" in (ROOT / "requirements.txt").read_text().splitlines()


def test_the_limits_are_the_code_s():
    assert f"{LIMITS.sentence} {SHARED_LIMIT}" in " ".join(README.split())


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"^(?:python -m )?liverseg (\w+)", README, re.M)))
)
def test_every_command_exists(command):
    assert command in {*COMMANDS, *DEVELOPER_COMMANDS}


def test_the_ci_runs_the_readme_s_test_command():
    lines = [line for line in README.splitlines() if line.startswith("pip install -r tests/")]
    assert len(lines) == 1
    assert "requirements.txt" in (ROOT / ".ci" / "run").read_text()


def test_the_top_level_is_what_the_readme_lists():
    listed = re.findall(r"^(app\.py|[a-z]+/|train\.ipynb) ", README, re.M)
    assert {"app.py", "liverseg/", "weights/", "tests/", "train.ipynb"} == set(listed)
    assert all((ROOT / name).exists() for name in listed)


def test_it_is_short_and_moves():
    assert len(README.splitlines()) <= 150
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", README)
    assert (ROOT / picture).stat().st_size < 2_000_000
