"""The viewer's scripts compute what the package computes: run by Node on vectors that it made."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from liverseg.volume import LPS_TO_RAS
from tests.js import vectors

TESTS = sorted(Path(vectors.__file__).parent.glob("*.test.mjs"))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Runs the scripts' own tests once; the vectors' file, beside which they leave files."""
    node = shutil.which("node")
    if node is None:
        reason = "needs Node: apt-get install nodejs"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    path = tmp_path_factory.mktemp("node") / "vectors.json"
    path.write_text(json.dumps(vectors.made()), encoding="utf-8")
    environment = {**os.environ, "VECTORS": str(path)}
    done = subprocess.run(
        [node, "--test", *TESTS], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-4000:]
    written = sum(path.read_text(encoding="utf-8").count("\ntest(") for path in TESTS)
    assert f"# pass {written}\n" in done.stdout
    return path


def test_scripts_and_package_agree(run):
    assert run.is_file()


def test_a_label_volume_that_the_browser_wrote_lies_where_the_scan_does(run):
    image = nibabel.load(f"{run}.placed.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, vectors.labels(1))
    np.testing.assert_allclose(image.affine, LPS_TO_RAS @ vectors.affine(), rtol=1e-6)
    assert int(image.header["sform_code"]) == 1


def test_a_label_volume_from_nowhere_says_so(run):
    image = nibabel.load(f"{run}.unplaced.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, vectors.labels(1))
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
