"""Uploads are read in processes of their own, within a budget, and harm nobody else there."""

import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image

from liverseg.errors import (
    BrokenFile,
    ChoiceNeeded,
    NotAScan,
    OverBudget,
    ReadingStopped,
    Replaced,
    TooLarge,
    WrongModality,
)
from liverseg.reading import upload, workers
from liverseg.reading.workers import Readers
from tests.helpers.costly_uploads import (
    dozen_of_segs,
    headers_of_many_elements,
    jpeg_of_many_scans,
    lying_locator,
    many_orientations,
    pictures_of_nothing,
    runs_of_one,
    sixty_masks,
    two_phases,
    zips_of_folders,
)
from tests.helpers.make_dicom import (
    GDCM_SYNTAXES,
    body,
    ct,
    seg,
    series,
    write,
)
from tests.helpers.processes import descendants

if not hasattr(os, "fork"):
    pytest.skip(reason="reads in this process where a system cannot fork", allow_module_level=True)

SECONDS, MEGABYTES = 20, 1500


@pytest.fixture(scope="module")
def readers():
    readers = Readers()
    readers.start()
    yield readers
    readers.close()


@pytest.fixture
def volume(readers, tmp_path):
    """A small scan to lay a ground truth on."""
    return readers.read_scan(write(series(3), tmp_path / "scan"))


@pytest.fixture
def spent(caplog):
    """What the last reading took: CPU seconds and MB."""
    caplog.set_level(logging.DEBUG, logger=workers.__name__)

    def last() -> tuple[float, int]:
        argument = caplog.records[-1].args
        if isinstance(argument, dict):  # it was ended
            return argument["seconds"], argument["megabytes"]
        return argument

    return last


# ---------------------------------------------------------------- attacks


SCANS = {
    zips_of_folders: TooLarge,
    lying_locator: TooLarge,
    pictures_of_nothing: TooLarge,
    headers_of_many_elements: TooLarge,
    jpeg_of_many_scans: BrokenFile,
    runs_of_one: BrokenFile,
    many_orientations: ChoiceNeeded,
    two_phases: ChoiceNeeded,
}


@pytest.mark.slow
@pytest.mark.parametrize("make", SCANS, ids=lambda make: make.__name__)
def test_an_upload_that_cost_too_much_is_answered_soon(readers, tmp_path, spent, make):
    path = make(tmp_path / "upload")
    with pytest.raises(SCANS[make]):
        readers.read_scan(path)
    seconds, megabytes = spent()
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.slow
@pytest.mark.parametrize("make", [dozen_of_segs, sixty_masks], ids=lambda make: make.__name__)
def test_a_truth_of_too_many_voxels_is_refused_as_announced(readers, volume, tmp_path, spent, make):
    path = make(tmp_path / "upload")
    with pytest.raises(TooLarge):
        readers.read_truth(path, volume)
    seconds, megabytes = spent()
    assert seconds < 2
    assert megabytes < MEGABYTES


# ---------------------------------------------------------------- the same as without


def equal(first, second) -> bool:
    """Whether two volumes are the same but for being two."""
    source = str(first.source.headers) == str(second.source.headers)
    for name in ("affine", "positions_mm"):
        source = source and np.array_equal(getattr(first, name), getattr(second, name))
    about = ((one.spacing, one.windowed, one.notices, one.kind) for one in (first, second))
    return source and np.array_equal(first.hu, second.hu) and len(set(about)) == 1


def nifti(folder: Path) -> Path:
    hu = np.stack([body(k) for k in range(4)]).T
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([-2.0, -2, 5, 1])), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def detached(folder: Path) -> Path:
    image = sitk.GetImageFromArray(np.stack([body(k) for k in range(4)]))
    sitk.WriteImage(image, folder / "scan.mhd", useCompression=True)
    return folder


def mgz(folder: Path) -> Path:
    hu = np.stack([body(k) for k in range(4)]).T.astype(np.int16)
    nibabel.save(nibabel.MGHImage(hu, np.diag([-2.0, -2, 5, 1])), folder / "scan.mgz")
    return folder


def tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "scan.tif", np.stack([body(k) for k in range(6)]), compression="zlib")
    return folder


def png(folder: Path) -> Path:
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (20, 30), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return folder


def dicom(folder: Path, **attributes) -> Path:
    return write(series(3, **attributes), folder / "dicom")


KINDS = {"dicom": dicom, "nifti": nifti, "mhd": detached, "mgz": mgz, "tiff": tiff, "png": png}
for uid in GDCM_SYNTAXES:
    KINDS[uid] = partial(dicom, syntax=uid)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_is_read_as_in_this_process(readers, tmp_path, kind):
    path = KINDS[kind](tmp_path)
    assert equal(readers.read_scan(path), upload.read_scan(path))


def test_voxels_that_cannot_be_copied_come_through_the_pipe(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LIBC", None)
    hu = np.random.default_rng(0).integers(-1000, 1000, (900, 1000), np.int16)  # more than a pipe
    path = write([ct(5.0 * k, hu=hu + k) for k in range(3)], tmp_path)
    assert equal(readers.read_scan(path), upload.read_scan(path))


def test_paths_may_be_relative(readers, tmp_path, monkeypatch):
    dicom(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert readers.read_scan("dicom").shape == (3, 12, 16)
    assert readers.read_scan(sorted(Path("dicom").iterdir())).shape == (3, 12, 16)


def test_links_in_an_upload_are_not_followed(readers, tmp_path):
    path = dicom(tmp_path)
    (tmp_path / "upload").mkdir()
    for file in path.iterdir():
        (tmp_path / "upload" / file.name).symlink_to(file)
    with pytest.raises(NotAScan) as refused:
        readers.read_scan(tmp_path / "upload")
    assert refused.value.code == "upload.empty"


def test_a_truth_is_read_as_in_this_process(readers, volume, tmp_path):
    masks = {"Liver": np.ones((3, 12, 16)), "Liver tumor": np.eye(12, 16)[None].repeat(3, 0)}
    path = write([seg(masks)], tmp_path / "seg")
    found, expected = readers.read_truth(path, volume), upload.read_truth(path, volume)
    assert found.tumor.sum() == 3 * 12
    assert np.array_equal(found.labels, expected.labels)
    assert found.notices == expected.notices


def test_of_several_scans_a_person_chooses(readers, tmp_path):
    two = [*series(4), *series(5, SeriesInstanceUID="1.2.3")]
    path = write(two, tmp_path / "two")
    with pytest.raises(ChoiceNeeded) as found:
        readers.read_scan(path)
    with pytest.raises(ChoiceNeeded) as expected:
        upload.read_scan(path)
    assert found.value.choice == expected.value.choice
    assert [one.code for one in found.value.choice.options] == ["choice.scan_spaced"] * 2
    assert readers.read_scan(path, "scan=1").shape[0] == 4


def test_a_refusal_is_that_of_this_process(readers, tmp_path):
    path = write([ct(Modality="MR")], tmp_path / "mr")
    with pytest.raises(WrongModality) as found:
        readers.read_scan(path)
    with pytest.raises(WrongModality) as expected:
        upload.read_scan(path)
    assert found.value.code == "upload.other_modality"
    assert found.value.args == expected.value.args


# ---------------------------------------------------------------- ends


BEHAVE = """
import mmap, os, signal, socket
from liverseg.reading import limits, upload, worker_process
def spin():
    while True: pass
def read_scan(paths, *, choose, budget, follow_links):
    {}
worker_process.read_scan = read_scan
worker_process.serve(socket.socket(fileno=os.dup(0)))
"""


@pytest.fixture
def reading(monkeypatch):
    """Readers that do something else than reading."""
    made = []

    def behave(code: str) -> Readers:
        command = (sys.executable, "-c", BEHAVE.format(code.replace("\n", "\n    ")))
        monkeypatch.setattr(workers, "COMMAND", command)
        made.append(Readers())
        return made[-1]

    yield behave
    for one in made:
        one.close()


def soon(condition) -> bool:
    """Whether it comes true within some seconds."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def at_work(readers, count: int = 1, **arguments):
    """Reads in threads that are at work; afterwards their outcome is known."""
    before = descendants(os.getpid())
    with ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(readers.read_scan, "/nowhere", **arguments) for _ in range(count)]
        assert soon(lambda: len(descendants(os.getpid()) - before) > count)  # and a zygote
        yield runs


@pytest.mark.parametrize(
    ("code", "sentence"),
    {
        "budget.take(limits.LIMITS.cpu_seconds - 1); spin()": "reading.time_spent",
        "bytearray(1_500_000_000)": "reading.memory_spent",
        "budget.allow(1000); bytearray(3_500_000_000)": "reading.memory_spent",
        "os.kill(os.getpid(), signal.SIGSEGV)": "reading.stopped",
        "os._exit(7)": "reading.stopped",
        "raise ValueError('secret')": "reading.stopped",
    }.items(),
)
def test_an_end_before_its_time_is_a_sentence(reading, caplog, code, sentence):
    readers = reading(code)
    for _ in range(2):  # the next one is read, and ends too
        with pytest.raises((OverBudget, ReadingStopped)) as ended:
            readers.read_scan("/nowhere")
        assert ended.value.code == sentence
    assert "secret" not in caplog.text
    assert ("ValueError" in caplog.text) == ("ValueError" in code)


def test_a_scan_may_take_more_memory_than_what_is_none(reading, tmp_path):
    readers = reading(
        "budget.allow(1000); mmap.mmap(-1, 2_000_000_000)\nreturn upload.read_scan(paths)"
    )
    assert readers.read_scan(dicom(tmp_path)).shape == (3, 12, 16)


def test_who_takes_long_to_read_lets_all_others_go_first(reading, tmp_path):
    readers = reading(
        f"worker_process.yield_after(0.1)\n"
        f"while os.nice(0) < min(19, {os.nice(0)} + worker_process.NICER): pass\n"
        f"return upload.read_scan(paths)"
    )
    assert readers.read_scan(dicom(tmp_path)).shape == (3, 12, 16)


def test_a_reader_cannot_write_files(reading, tmp_path):
    readers = reading(f"open({str(tmp_path / 'file')!r}, 'w').write('x')")
    with pytest.raises(ReadingStopped):
        readers.read_scan("/nowhere")
    assert (tmp_path / "file").read_bytes() == b""


def test_what_nobody_waits_for_is_ended_at_once(reading, tmp_path):
    readers, wanted = reading("upload.read_scan(paths); spin()"), threading.Event()
    wanted.set()
    compressed = dicom(tmp_path, syntax=next(iter(GDCM_SYNTAXES)))  # there is a decoder too
    before = descendants(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(readers.read_scan, compressed, wanted=wanted.is_set)
        assert soon(lambda: len(descendants(os.getpid()) - before) == 3)
        start = time.monotonic()
        wanted.clear()
        with pytest.raises(Replaced):
            run.result(timeout=10)
    assert time.monotonic() - start < 0.5
    assert soon(lambda: len(descendants(os.getpid()) - before) == 1)


def test_a_zygote_that_was_ended_takes_its_readers_along_and_is_replaced(reading):
    readers = reading("spin()")
    before = descendants(os.getpid())
    with at_work(readers) as (run,):
        (zygote,) = (p for p in descendants(os.getpid()) - before if descendants(p))
        os.kill(zygote, signal.SIGKILL)
        assert isinstance(run.exception(timeout=10), ReadingStopped)
        assert soon(lambda: descendants(os.getpid()) == before)
    with at_work(readers):
        readers.close()


def test_closing_ends_all_and_nothing_is_read_afterwards(reading):
    readers = reading("spin()")
    before = descendants(os.getpid())
    with at_work(readers) as (run,):
        readers.close()
        assert isinstance(run.exception(timeout=10), ReadingStopped)
    assert soon(lambda: descendants(os.getpid()) == before)
    with pytest.raises(ReadingStopped):
        readers.read_scan("/nowhere")
    assert descendants(os.getpid()) == before


PAGE = """
import sys, threading
from liverseg.reading import workers
workers.COMMAND = (sys.executable, "-c", sys.argv[1])
threading.Thread(target=workers.Readers().read_scan, args=("/nowhere",)).start()
"""


def test_nothing_is_left_of_a_page_that_was_killed():
    command = [sys.executable, "-c", PAGE, BEHAVE.format("spin()")]
    with subprocess.Popen(command, cwd=workers.PACKAGE.parent) as page:
        assert soon(lambda: len(descendants(page.pid)) == 2)
        started = descendants(page.pid)
        page.kill()
    assert soon(lambda: not started & {*map(int, filter(str.isdecimal, os.listdir("/proc")))})


def test_an_answer_is_made_of_nothing_but_what_answers_hold():
    for harmful in (os.system, subprocess.Popen, np.load):
        with pytest.raises(ReadingStopped):
            workers._Answer(io.BytesIO(pickle.dumps(harmful))).load()
