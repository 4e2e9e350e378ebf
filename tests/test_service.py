"""The work behind the page, without a page."""

import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from PIL import Image

from liverseg.errors import ChoiceNeeded, Replaced, TooLarge, UploadError
from liverseg.network import known_patients
from liverseg.network.cascade import segment
from liverseg.network.engine import load_engine
from liverseg.network.known_patients import blocks_of
from liverseg.page import handlers, service
from liverseg.page.handlers import Handlers
from liverseg.page.service import Service
from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.visitors import SegmentedStudy
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from liverseg.reading import limits
from liverseg.writing.labels import write_nifti
from tests.helpers.make_dicom import ct, seg, series, write
from tests.helpers.page_server import wait_until


class Received:
    """An upload: the files of a folder."""

    def __init__(self, folder):
        self.folder = folder

    def move_to(self, folder):
        for path in list(self.folder.iterdir()):
            shutil.move(path, folder)


@pytest.fixture
def opened(tmp_path):
    folders = [tmp_path / name for name in ("reading", "served", "arrived")]
    for folder in folders:
        folder.mkdir()
    opened = Service(*folders)
    opened.reading = folders[0]
    yield opened
    opened.close()


def files_in(opened):
    """Uploads on the disk."""
    return sorted(path for path in opened.reading.rglob("*") if path.is_file())


def test_a_scan_replaces_the_one_before_and_its_files_are_gone(opened, tmp_path):
    for count in (3, 4):
        opened.open_scan("ann", Received(write(series(count), tmp_path / f"{count}")))
        assert opened.visitors.of("ann").volume.shape[0] == count
    assert len(opened.visitors) == 1
    assert files_in(opened) == []


def test_a_refused_upload_is_deleted_and_the_scan_stays(opened, tmp_path):
    opened.open_scan("ann", Received(write(series(3), tmp_path / "good")))
    with pytest.raises(Exception, match="MR image"):
        opened.open_scan("ann", Received(write([ct(Modality="MR")], tmp_path / "bad")))
    assert opened.visitors.of("ann").volume.shape[0] == 3
    assert files_in(opened) == []


@pytest.mark.parametrize("bound", [{"files": 2}, {"upload_bytes": 1000}])
def test_too_much_is_refused_and_deleted_even_if_it_would_have_to_wait(
    opened, tmp_path, monkeypatch, bound
):
    monkeypatch.setattr(service, "LIMITS", replace(limits.LIMITS, **bound))
    with pytest.raises(TooLarge, match="At most"):
        opened.open_truth("ann", Received(write(series(3), tmp_path / "masks")))
    assert files_in(opened) == []


def test_only_the_last_of_several_waiting_uploads_is_kept(opened, tmp_path):
    for count in (2, 3):
        opened.open_truth("ann", Received(write(series(count), tmp_path / f"truth{count}")))
        assert len(files_in(opened)) == count
    for name in "ab":
        two = [*series(4), *series(5, SeriesInstanceUID="1.2.3")]
        with pytest.raises(ChoiceNeeded):
            opened.open_scan("bob", Received(write(two, tmp_path / name)))
        assert len(files_in(opened)) == 3 + 9
    assert opened.answer("bob", "scan=1").volume.shape[0] == 4
    assert len(files_in(opened)) == 3


def test_a_tab_that_was_reloaded_shows_what_is_still_asked(opened, tmp_path):
    two = [*series(4), *series(5, SeriesInstanceUID="1.2.3")]
    with pytest.raises(ChoiceNeeded) as needed:
        opened.open_scan("ann", Received(write(two, tmp_path / "two")))
    (shown,) = Handlers(opened).arrive("ann", SimpleNamespace(had=True))
    settings = shown["choice"].value.settings
    assert settings["visible"]
    assert [answer for _, answer in settings["choices"]] == list(needed.value.choice.answers)
    assert "2 scans" in shown["scan"]["text"]


def with_seg(folder):
    """A scan with its DICOM SEG beside it."""
    write(series(3), folder)
    return write([seg({"liver": np.eye(12, 16)[None].repeat(3, 0)})], folder / "seg").parent


def test_masks_beside_a_scan_are_offered_and_used_when_somebody_says_so(opened, tmp_path):
    study = opened.open_scan("ann", Received(with_seg(tmp_path / "both")))
    assert study.volume.shape[0] == 3
    use, leave = opened.visitors.of("ann").choice.answers
    assert len(files_in(opened)) == 4
    study = opened.answer("ann", use)
    assert study.truth.liver.sum() == 3 * 12
    assert study.choice is None and files_in(opened) == []
    with pytest.raises(UploadError, match="no longer open"):
        opened.answer("ann", leave)


def test_masks_beside_a_scan_may_be_left_out(opened, tmp_path):
    opened.open_scan("ann", Received(with_seg(tmp_path / "both")))
    study = opened.answer("ann", opened.visitors.of("ann").choice.answers[1])
    assert study.truth is None and study.choice is None and files_in(opened) == []


def test_what_is_asked_is_forgotten_with_the_next_scan(opened, tmp_path):
    opened.open_scan("ann", Received(with_seg(tmp_path / "both")))
    use = opened.visitors.of("ann").choice.answers[0]
    opened.open_scan("ann", Received(write(series(4), tmp_path / "next")))
    with pytest.raises(UploadError, match="no longer open"):
        opened.answer("ann", use)
    assert files_in(opened) == []


def test_a_program_may_answer_beforehand(opened, tmp_path):
    study = opened.open_scan("ann", Received(with_seg(tmp_path / "both")), "truth=0")
    assert study.truth.liver.sum() == 3 * 12 and files_in(opened) == []


def two_colors(folder):
    """Masks whose colors lie side by side."""
    folder.mkdir()
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[3:9, 3:8], mask[3:9, 8:13] = (255, 0, 0), (0, 0, 255)
    for k in range(3):
        Image.fromarray(mask).save(folder / f"{k}.png")
    return folder


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_truth_waits_for_its_choice(opened, tmp_path, comes_first):
    scan, truth = write(series(3), tmp_path / "scan"), two_colors(tmp_path / "truth")
    steps = [lambda: opened.open_scan("ann", Received(scan))]
    steps.insert(not comes_first, lambda: opened.open_truth("ann", Received(truth)))
    steps.append(lambda: opened.open_waiting_truth("ann"))
    with pytest.raises(ChoiceNeeded) as needed:
        for step in steps:
            step()
    assert len(files_in(opened)) == 3
    study = opened.answer("ann", needed.value.choice.answers[0])
    assert study.truth.liver.sum() == 3 * 60 and study.truth.tumor.sum() == 3 * 30
    assert study.choice is None and files_in(opened) == []


def test_a_truth_that_waits_for_its_choice_goes_with_its_scan(opened, tmp_path):
    opened.open_scan("ann", Received(write(series(3), tmp_path / "scan")))
    with pytest.raises(ChoiceNeeded):
        opened.open_truth("ann", Received(two_colors(tmp_path / "truth")))
    opened.open_scan("ann", Received(write(series(4), tmp_path / "next")))
    study = opened.open_waiting_truth("ann")
    assert study.truth is None and study.choice is None and files_in(opened) == []


def test_one_choice_follows_another(opened, tmp_path):
    """Two scans with masks beside them: which scan, and whether the masks are its truth."""
    folder = with_seg(tmp_path / "both")
    write(series(5, SeriesInstanceUID="1.2.3"), folder / "other")
    with pytest.raises(ChoiceNeeded) as needed:
        opened.open_scan("ann", Received(folder))
    answer = needed.value.choice.answers[needed.value.choice.options.index("3 slices, 5 mm, 16×12")]
    assert opened.answer("ann", answer).volume.shape[0] == 3
    assert opened.answer("ann", "truth=0").truth.liver.sum() == 3 * 12


def test_a_truth_that_came_first_is_laid_on_the_scan(opened, tmp_path):
    masks = [ct(5.0 * k, stored=np.eye(12, 16, dtype=np.uint8)) for k in range(3)]
    opened.open_truth("ann", Received(write(masks, tmp_path / "liver")))
    opened.open_scan("ann", Received(write(series(3), tmp_path / "scan")))
    study = opened.open_waiting_truth("ann")
    assert study.truth.liver.sum() == 3 * 12
    assert study.waiting_truth is None
    assert files_in(opened) == []


def test_a_truth_that_came_first_and_does_not_fit_leaves_the_scan(opened, tmp_path):
    opened.open_truth("ann", Received(write(series(5), tmp_path / "liver")))
    volume = opened.open_scan("ann", Received(write(series(3), tmp_path / "scan"))).volume
    with pytest.raises(UploadError, match="masks"):
        opened.open_waiting_truth("ann")
    assert opened.open_waiting_truth("ann").volume is volume  # nothing waits any more
    assert files_in(opened) == []


class Leaves:
    """Readers that ask whether anybody waits, before and after something happens."""

    def __init__(self, happens):
        self.happens, self.answers = happens, []

    def read_scan(self, paths, answers=(), *, wanted):
        self.read_truth(paths, None, wanted=wanted)

    def close(self):
        pass

    def read_truth(self, paths, volume, answers=(), *, wanted):
        for happens in (lambda: None, self.happens):
            happens()
            self.answers.append(wanted())
        raise Replaced("left")


def test_reading_is_of_no_use_once_its_job_was_stopped(opened, tmp_path):
    def read():
        yield opened.open_scan("ann", Received(write(series(3), tmp_path / "scan")))

    opened.readers = Leaves(lambda: opened.jobs.stop("ann"))
    job = opened.jobs.start("ann", "reading", read(), nullcontext())
    wait_until(lambda: job.is_done, 30)
    assert opened.readers.answers == [True, False]
    assert files_in(opened) == []


class Busy:
    """Readers that are busy until told otherwise."""

    def __init__(self):
        self.begun, self.may_end = [], threading.Event()

    def close(self):
        pass

    def read_scan(self, paths, series, *, wanted):
        self.begun.append(paths)
        wait_until(lambda: self.may_end.is_set() or not wanted(), 30)
        raise Replaced("left")


def test_two_uploads_are_read_at_once(opened, tmp_path):
    def read(name):
        yield opened.open_scan(name, Received(write(series(3), tmp_path / name)))

    opened.readers.close()
    opened.readers = readers = Busy()
    names = ("ann", "bob", "cid")
    jobs = [opened.jobs.start(name, "reading", read(name), nullcontext()) for name in names]
    wait_until(lambda: len(readers.begun) == 2 and len(opened.decoding._waiting) == 1, 10)
    readers.may_end.set()
    wait_until(lambda: all(job.is_done for job in jobs), 10)
    assert len(readers.begun) == 3


WORK = {
    "scan": lambda opened, folder: opened.open_scan("ann", Received(write(series(3), folder))),
    "truth": lambda opened, folder: opened.open_truth("ann", Received(write(series(3), folder))),
    "case": lambda opened, _: opened.open_synthetic("ann", SyntheticCase(3, size="small")),
}


@pytest.mark.parametrize("name", WORK)
def test_work_that_ends_after_its_visitor_has_left_begins_no_study(
    opened, tmp_path, monkeypatch, name
):
    def leaves_then(done):
        def call(*arguments, **options):
            monkeypatch.setattr(opened.visitors, "_grace_s", -1)
            opened.sweep()
            return done(*arguments, **options)

        return call

    def work():
        yield WORK[name](opened, tmp_path / "upload")

    make = leaves_then(lambda case: make_phantom(case.number, shape=(4, 64, 64)))
    monkeypatch.setattr(SyntheticCase, "make", make)
    monkeypatch.setattr(opened, "_received", leaves_then(opened._received))
    job = opened.jobs.start("ann", "reading", work(), opened.visitors.event("ann"))
    wait_until(lambda: job.is_done, 60)
    assert isinstance(job._error, Replaced)
    assert len(opened.visitors) == 0
    assert files_in(opened) == []
    assert not list(opened.served.iterdir())


def test_a_truth_is_of_no_use_once_its_scan_was_replaced(opened, tmp_path):
    real = opened.readers
    opened.open_scan("ann", Received(write(series(3), tmp_path / "scan")))

    def another():
        opened.readers, leaves = real, opened.readers
        opened.open_scan("ann", Received(write(series(4), tmp_path / "other")))
        opened.readers = leaves

    opened.readers = Leaves(another)
    with pytest.raises(Replaced):
        opened.open_truth("ann", Received(write(series(3), tmp_path / "truth")))
    assert opened.readers.answers == [True, False]
    real.close()


class Engine:
    """The engine as `Service` sees it, with a call before each batch of the networks."""

    def __init__(self, before):
        self._engine, self._before = load_engine(), before

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def predict(self, network, images):
        self._before()
        return self._engine.predict(network, images)


def abdomen(folder, shift=0, **header):
    """A small synthetic scan as an upload, moved to the side, with attributes in its headers."""
    volume, _ = make_phantom(3, shape=(12, 96, 96))
    for path in write_dicom(replace(volume, hu=np.roll(volume.hu, shift, axis=2)), folder):
        dataset = pydicom.dcmread(path)
        for keyword, value in header.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return Received(folder)


def test_a_crash_in_one_scan_leaves_another_alone_that_runs_at_the_same_time(opened, tmp_path):
    calls, both_run = itertools.count(), threading.Barrier(2, timeout=60)

    def meet():
        """Lets the first batches of both wait for each other; then one of them fails."""
        if next(calls) < 2 and both_run.wait() == 0:
            raise MemoryError

    def run(visitor):
        for _ in opened.segment(visitor, 0):
            pass

    opened._engine = Engine(meet)
    opened.open_scan("ann", abdomen(tmp_path / "ann"))
    opened.open_scan("bob", abdomen(tmp_path / "bob", shift=5))
    with ThreadPoolExecutor(2) as pool:
        runs = {visitor: pool.submit(run, visitor) for visitor in ("ann", "bob")}
        (unlucky,) = (visitor for visitor, one in runs.items() if one.exception())
    assert isinstance(runs[unlucky].exception(), MemoryError)
    (lucky,) = runs.keys() - {unlucky}
    study = opened.visitors.of(lucky)
    assert np.array_equal(study.prediction.labels, segment(study.volume).labels)
    assert not isinstance(opened.visitors.of(unlucky), SegmentedStudy)
    run(unlucky)  # his scan is still there
    assert opened.visitors.of(unlucky).prediction.liver.any()


def test_work_on_a_scan_that_another_replaced_stops_and_leaves_the_new_one_alone(opened, tmp_path):
    def replaced():
        if opened.visitors.of("ann").scan is first:
            opened.open_scan("ann", abdomen(tmp_path / "second", shift=5))

    opened._engine = Engine(replaced)
    first = opened.open_scan("ann", abdomen(tmp_path / "first")).volume
    with pytest.raises(Replaced):
        for step in opened.segment("ann", 0):
            assert step.result is None
    study = opened.visitors.of("ann")
    assert study.volume is not first
    assert not isinstance(study, SegmentedStudy)
    with pytest.raises(UploadError, match="Press Segment first"):
        opened.score("ann")


def test_a_scan_is_segmented_that_is_still_being_packed_for_the_viewer(
    opened, tmp_path, monkeypatch
):
    monkeypatch.setattr(handlers, "PREVIEW_PAUSE_S", 0)
    opened.open_scan("ann", abdomen(tmp_path / "scan"))
    begin, first, *_, last = Handlers(opened).run("ann")
    assert first.keys() == {"status"}
    assert begin["cancel"].value.settings == {"visible": True}
    assert last.keys() == {"surfaces"}
    assert opened.visitors.of("ann").prediction.liver.any()


@pytest.mark.parametrize("is_known", [True, False])
def test_the_page_says_that_a_score_is_of_a_known_patient(opened, tmp_path, monkeypatch, is_known):
    """Of those that the weights' file of fingerprints knows."""
    volume, truth = make_phantom(3, shape=(12, 96, 96))
    blocks = blocks_of(volume.hu if is_known else volume.hu.transpose(0, 2, 1))
    monkeypatch.setattr(
        known_patients, "known_patients", lambda: known_patients.Fingerprints(blocks)
    )
    opened.open_scan("ann", Received(write_dicom(volume, tmp_path / "scan")[0].parent))
    (tmp_path / "truth").mkdir()
    write_nifti(truth, opened.visitors.of("ann").volume, tmp_path / "truth" / "labels.nii.gz")
    opened.open_truth("ann", Received(tmp_path / "truth"))
    page = [values for values in Handlers(opened).run("ann") if "notices" in values]
    said = [sentence.code for sentence in page[-1]["notices"].value]
    assert ("truth.known_patient" in said) == is_known


def test_a_result_that_was_known_carries_nothing_of_the_visitor_for_whom_it_was_made(
    opened, tmp_path
):
    """Equal voxels below other headers, as one file anonymized twice; the second run is saved."""
    batches = []
    opened._engine = Engine(lambda: batches.append(1))
    headers = {
        visitor: {
            "PatientID": f"id of {visitor}",
            "PatientName": f"{visitor}^",
            "StudyInstanceUID": f"1.2.{number}",
            "SeriesInstanceUID": f"1.2.{number}.1",
        }
        for number, visitor in enumerate(("ann", "bob"), start=10)
    }
    found, spent = {}, {}
    for visitor, header in headers.items():
        opened.open_scan(visitor, abdomen(tmp_path / visitor, **header))
        for _ in opened.segment(visitor, 0):
            pass
        spent[visitor] = len(batches)
        opened.score(visitor)
        found[visitor] = {
            kind: opened.take_away(visitor, kind).read_bytes()
            for kind in ("json", "csv", "html", "seg")
        }
    assert spent["bob"] == spent["ann"] > 0
    for kind in ("json", "csv", "html"):
        assert found["ann"][kind] == found["bob"][kind]
    for visitor, other in (("ann", "bob"), ("bob", "ann")):
        seg = found[visitor]["seg"]
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
            assert headers[visitor][keyword].encode() in seg
            assert headers[other][keyword].encode() not in seg
    assert len({opened.visitors.of(visitor).served for visitor in headers}) == 2
