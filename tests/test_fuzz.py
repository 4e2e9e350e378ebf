"""The fuzzer itself, a bounded run of it, and what longer runs have found."""

import random
import struct
import zipfile

import pytest

from liverseg.errors import BrokenFile, UploadError
from liverseg.reading.upload import read_scan, read_truth
from tests.fuzz import fuzz
from tests.fuzz.seeds import make_seeds
from tests.helpers.make_dicom import ct, series, to_bytes, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seeds_and_scan(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_every_seed_is_read_without_complaint(seeds_and_scan, tmp_path):
    seeds, scan = seeds_and_scan
    for number, seed in enumerate(seeds):
        folder = tmp_path / str(number)
        fuzz._write(seed.files, folder)
        if seed.box == "scan":
            assert read_scan(folder).shape == scan.shape, seed.kind
        else:
            assert read_truth(folder, scan).tumor.sum() == seed.tumor_voxels, seed.kind


def test_three_hundred_damaged_uploads_are_read_or_refused():
    summary = fuzz.fuzz(300, seed=0)
    assert summary.findings == []
    assert summary.count == summary.read + summary.refused == 300
    assert summary.refused > 50
    assert summary.slowest_seconds < 5


def test_a_case_can_be_repeated(seeds_and_scan):
    seeds, _ = seeds_and_scan
    once, again = (fuzz._damaged_files(seeds[0], random.Random("0/7"), seeds) for _ in range(2))
    assert once == again
    assert once != seeds[0].files


def test_an_error_of_another_kind_is_a_finding(monkeypatch):
    def crash(paths):
        raise KeyError

    monkeypatch.setattr(fuzz, "read_scan", crash)
    summary = fuzz.fuzz(5)
    assert summary.findings
    assert "KeyError in test_fuzz.py" in summary.findings[0]


def test_a_hang_is_a_finding(monkeypatch):
    def hang(paths):
        while True:
            pass

    monkeypatch.setattr(fuzz, "read_scan", hang)
    monkeypatch.setattr(fuzz, "SECONDS", 0.1)
    assert any("Hang" in finding for finding in fuzz.fuzz(4).findings)


def test_the_command_prints_its_summary(capsys):
    assert fuzz.main(["--count", "3"]) == 0
    assert capsys.readouterr().out.startswith("3 cases in")


# ---------------------------------------------------------------- what it has found


def test_a_meta_group_length_of_wrong_length(tmp_path):
    """pydicom raises its own BytesLengthException, which is no ValueError."""
    content = to_bytes(ct())
    at = content.index(b"\x02\0\0\0UL\x04\0") + 6
    (tmp_path / "slice").write_bytes(content[:at] + b"\x52\0" + content[at + 2 :])
    with pytest.raises(UploadError):
        read_scan(tmp_path)


def test_a_transfer_syntax_that_is_no_text(tmp_path):
    """pydicom raises TypeError when it looks for a decoder."""
    folder = write(series(2), tmp_path / "scan")
    for path in folder.iterdir():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"\x02\0\x10\0UI", b"\x02\0\x10\0UL"))
    with pytest.raises(BrokenFile):
        read_scan(folder)


def test_a_zip_entry_whose_name_is_no_text(tmp_path):
    """zipfile decodes the second copy of the name only when the entry is opened."""
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("näme", to_bytes(ct()))
    content = path.read_bytes()
    assert struct.unpack_from("<H", content, 6)[0] & 0x800  # UTF-8
    path.write_bytes(content.replace("ä".encode(), b"\xff\xff", 1))
    with pytest.raises(BrokenFile):
        read_scan(path)
