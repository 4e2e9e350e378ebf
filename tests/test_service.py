"""The work behind the page, without a page."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from make_dicom import ct, series, write

from liverseg import limits, service
from liverseg.errors import SeveralSeries, TooLarge
from liverseg.service import Service


class Received:
    """An upload: the files of a folder."""

    def __init__(self, folder):
        self.folder = folder

    def move_to(self, folder):
        for path in list(self.folder.iterdir()):
            shutil.move(path, folder)


@pytest.fixture
def opened(tmp_path):
    for name in ("private", "served"):
        (tmp_path / name).mkdir()
    return Service(tmp_path / "private", tmp_path / "served")


def files_of(opened, visitor):
    return sorted(path for path in opened.studies.of(visitor).folder.rglob("*") if path.is_file())


def test_a_scan_replaces_the_one_before_and_its_files_are_gone(opened, tmp_path):
    for count in (3, 4):
        opened.open_scan("ann", Received(write(series(count), tmp_path / f"{count}")))
        assert opened.studies.of("ann").volume.shape[0] == count
    assert len(opened.studies) == 1
    assert files_of(opened, "ann") == []


def test_a_refused_upload_is_deleted_and_the_scan_stays(opened, tmp_path):
    opened.open_scan("ann", Received(write(series(3), tmp_path / "good")))
    with pytest.raises(Exception, match="MR image"):
        opened.open_scan("ann", Received(write([ct(Modality="MR")], tmp_path / "bad")))
    assert opened.studies.of("ann").volume.shape[0] == 3
    assert files_of(opened, "ann") == []


@pytest.mark.parametrize("bound", [{"files": 2}, {"upload_bytes": 1000}])
def test_too_much_is_refused_and_deleted_even_if_it_would_have_to_wait(
    opened, tmp_path, monkeypatch, bound
):
    monkeypatch.setattr(service, "LIMITS", replace(limits.LIMITS, **bound))
    with pytest.raises(TooLarge, match="At most"):
        opened.open_truth("ann", Received(write(series(3), tmp_path / "masks")))
    assert files_of(opened, "ann") == []


def test_only_the_last_of_several_waiting_uploads_is_kept(opened, tmp_path):
    for count in (2, 3):
        opened.open_truth("ann", Received(write(series(count), tmp_path / f"truth{count}")))
        assert len(files_of(opened, "ann")) == count
    for name in "ab":
        two = [*series(4), *series(5, SeriesInstanceUID="1.2.3")]
        with pytest.raises(SeveralSeries):
            opened.open_scan("bob", Received(write(two, tmp_path / name)))
        assert len(files_of(opened, "bob")) == 9
    assert opened.open_series("bob", 1).volume.shape[0] == 4
    assert files_of(opened, "bob") == []


def test_a_truth_that_came_first_is_laid_on_the_scan(opened, tmp_path):
    masks = [ct(5.0 * k, stored=np.eye(12, 16, dtype=np.uint8)) for k in range(3)]
    opened.open_truth("ann", Received(write(masks, tmp_path / "liver")))
    study = opened.open_scan("ann", Received(write(series(3), tmp_path / "scan")))
    assert study.truth.liver.sum() == 3 * 12
    assert study.waiting_truth is None
    assert files_of(opened, "ann") == []
