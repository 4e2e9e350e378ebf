"""Known patients are known again, whatever was done to the scan, and no others."""

import json
from functools import cache

import numpy as np
import pytest

from liverseg.network import known_patients as module
from liverseg.network.known_patients import (
    SAME,
    Fingerprints,
    blocks_of,
    known_patients,
    write_fingerprints,
)
from liverseg.reading.upload import read_scan
from liverseg.scores.findings import find
from liverseg.training.datasets import SMALL, read_phantoms
from liverseg.training.known_patients import OF_SCAN, fingerprints_of, main
from liverseg.volume import Segmentation, Source, Volume


@cache
def cases():
    return list(read_phantoms(3, shape=SMALL))


@pytest.fixture(scope="module")
def known() -> Fingerprints:
    return Fingerprints(fingerprints_of(cases()[:2]))


def windowed(hu: np.ndarray, low: int, high: int) -> np.ndarray:
    """As the page reads 8-bit pictures that were saved with another window than it assumes."""
    gray = np.rint(np.clip((hu - float(low)) / (high - low), 0, 1) * 255)
    return np.rint(-40 + gray * 200 / 255).astype(np.int16)


CHANGES = {
    "nothing": lambda hu: hu,
    "left and right": lambda hu: hu[:, :, ::-1],
    "front and back": lambda hu: hu[:, ::-1],
    "turned": lambda hu: hu[::-1, ::-1, ::-1],
    "thinned": lambda hu: hu[::2],
    "windowed": lambda hu: windowed(hu, -100, 200),
    "windowed and thinned": lambda hu: windowed(hu, -150, 250)[::2],
    "narrow": lambda hu: windowed(hu, 0, 150),
    "one slice": lambda hu: hu[_middle()],
}


def _middle() -> slice:
    z = np.flatnonzero(cases()[0].labels.any(axis=(1, 2)))[0]
    return slice(z, z + 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_patient_is_known_again(known, change):
    assert known.know(CHANGES[change](cases()[0].hu))


def test_other_patients_and_empty_scans_are_not_known(known):
    assert not known.know(cases()[2].hu)
    for value in (-1000, 50):
        assert not known.know(np.full((5, 64, 64), value, np.int16))


def test_few_slices_with_liver_are_kept_and_only_as_blocks(known):
    assert known.blocks.shape == (2 * OF_SCAN, module.GRID, module.GRID)


def test_blocks_are_means_of_the_window():
    hu = np.full((1, 40, 40), -40, np.int16)
    hu[0, :2, :4] = 3000
    blocks = blocks_of(hu)
    assert blocks[0, 0, :3].tolist() == [255, 255, 0]
    assert not blocks[0, 1:].any()


def test_the_file_says_it_again_and_one_of_another_version_says_nothing(
    known, tmp_path, monkeypatch
):
    monkeypatch.setenv("LIVERSEG_WEIGHTS", str(tmp_path))
    module._read.cache_clear()
    assert known_patients() is None
    module._read.cache_clear()
    path = write_fingerprints(known.blocks, tmp_path)
    np.testing.assert_array_equal(known_patients().blocks, known.blocks)
    module._read.cache_clear()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"grid": 7}))
    assert known_patients() is None
    module._read.cache_clear()


def test_a_score_of_a_known_patient_says_so_and_no_other(known):
    (volume, truth), (other, its) = (
        (Volume(one.hu, source=Source("picture")), Segmentation(one.labels))
        for one in (cases()[0], cases()[2])
    )
    codes = {
        name: [said.code for said in find(*about, surfaces=False, known=known).remarks]
        for name, about in {
            "known": (volume, truth, "weights", truth),
            "other": (other, its, "weights", its),
            "without truth": (volume, truth, "weights"),
        }.items()
    }
    assert codes == {"known": ["truth.known_patient"], "other": [], "without truth": []}


def test_the_command_leaves_out_who_is_not_trained_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("liverseg.training.known_patients.read_data", lambda _: iter(cases()))
    main(["--data", str(tmp_path / "phantom"), "--weights", str(tmp_path)])
    assert (tmp_path / "fingerprints.json").stat().st_size < 300_000
    assert "not trained on: phantom_" in capsys.readouterr().err


def test_the_shipped_file_is_small():
    assert (module.weights_folder() / "fingerprints.json").stat().st_size < 300_000


@pytest.mark.slow
def test_the_shipped_file_knows_a_real_training_patient_and_no_other(uploads):
    known = known_patients()
    hu = read_scan(uploads / "ircad_01_PATIENT_DICOM.zip").hu
    assert all(known.know(copy) for copy in (hu, hu[:, :, ::-1], windowed(hu, -150, 250)[1::3]))
    for name in ("totalseg_20_dicom.zip", "totalseg_3mm_ct.nii.gz", "dcmqi_ct3"):
        assert known.distance(read_scan(uploads / name).hu) > 2 * SAME
