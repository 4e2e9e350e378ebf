"""Batches that processes make ahead: the same ones always, and an end without remains."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from liverseg.errors import DataError
from liverseg.network.recipe import Recipe
from liverseg.phantom import make_phantom
from liverseg.training.cache import open_packed, pack
from liverseg.training.labelled_scan import as_labelled_scan
from liverseg.training.loader import _pack, _unpack, draw_batch, make_batches
from liverseg.training.samples import Sample, TumorSamples
from tests.helpers.processes import descendants

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Stage:
    size: int = 32
    batch: int = 3
    steps: int = 7
    seed: int = 5


STAGE = Stage()


@pytest.fixture(scope="module")
def cases():
    return [
        as_labelled_scan(f"p{k}", f"p{k}", *make_phantom(k, shape=(12, 96, 96))) for k in (0, 1)
    ]


@pytest.fixture(scope="module")
def samples(cases):
    return TumorSamples(cases, Recipe(size=64, filters=(4, 8)))


@pytest.fixture(scope="module")
def drawn_here(samples):
    """The batches as one process draws them, one after another."""
    square = STAGE.batch, STAGE.size, STAGE.size
    batches = []
    for step in range(STAGE.steps):
        batch = np.zeros((*square, 3), np.float32), np.zeros((*square, 2), np.float32)
        draw_batch(samples, STAGE, step, batch)
        batches.append(batch)
    return batches


def assert_equal(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def workers_of(process: int) -> set[int]:
    """Descendants that are no helper of the standard library's own."""
    found = set()
    for child in descendants(process):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            found.add(child)
    return found


def test_any_number_of_processes_makes_the_same_batches(samples, drawn_here):
    assert drawn_here[0][0].any()
    assert_equal(list(make_batches(samples, STAGE, workers=3)), drawn_here)


def test_batches_go_on_at_any_step(samples, drawn_here):
    assert_equal(list(make_batches(samples, STAGE, first=4, workers=1)), drawn_here[4:])
    assert list(make_batches(samples, STAGE, first=STAGE.steps)) == []


def test_packed_scans_are_opened_by_each_process_and_not_copied(cases, samples, tmp_path):
    pack(cases, tmp_path)
    mapped = TumorSamples(open_packed(tmp_path), samples.recipe)
    voxels = sum(case.hu.nbytes for case in cases)
    assert sum(_pack(mapped).sizes) + len(_pack(mapped).pickled) < voxels / 10
    assert sum(_pack(samples).sizes) > voxels
    for source in (mapped, samples):
        again, wanted = (
            x.draw(np.random.default_rng(3), 32) for x in (_unpack(_pack(source)), samples)
        )
        np.testing.assert_array_equal(again.image, wanted.image)
        np.testing.assert_array_equal(again.mask, wanted.mask)


def test_arrays_that_are_not_packed_are_shared_and_cannot_be_written(samples):
    again = _unpack(_pack(samples))
    hu = again._scans[0][0][0].hu
    assert not hu.flags.owndata
    assert not hu.flags.writeable


def test_a_loop_that_is_left_leaves_no_process(samples):
    before = workers_of(os.getpid())
    batches = make_batches(samples, STAGE, workers=2)
    next(batches)
    assert len(workers_of(os.getpid()) - before) == 2
    batches.close()
    assert not workers_of(os.getpid()) - before


def test_a_process_that_was_killed_is_told_and_the_others_end(samples):
    before = workers_of(os.getpid())
    batches = make_batches(samples, dataclasses.replace(STAGE, steps=1000), workers=2)
    next(batches)
    killed = min(workers_of(os.getpid()) - before)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(DataError, match=r"ended \(status -9\).*continues") as told:
        list(batches)
    assert told.value.code == "data.loader_ended"
    assert not workers_of(os.getpid()) - before


class Faulty:
    """Samples of which one cannot be drawn."""

    def draw(self, rng, size):
        if rng.random() < 0.1:
            raise ArithmeticError("no such sample")
        empty = np.zeros((size, size), np.float32)
        return Sample(np.zeros((size, size, 3), np.float32), empty, empty)


def test_what_goes_wrong_in_a_process_is_raised_in_the_trainer():
    with pytest.raises(ArithmeticError, match="no such sample"):
        list(make_batches(Faulty(), dataclasses.replace(STAGE, steps=50), workers=2))


def test_a_process_imports_no_network_library(samples):
    check = (
        "import pickle, sys; pickle.loads(sys.stdin.buffer.read());"
        "print({'keras', 'tensorflow', 'gradio'} & set(sys.modules))"
    )
    run = [sys.executable, "-c", f"import liverseg.training.loader; {check}"]
    found = subprocess.run(run, input=pickle.dumps(samples), capture_output=True, cwd=ROOT)
    assert found.stdout.split() == [b"set()"], found.stderr


INTERRUPTED = """
from types import SimpleNamespace
import numpy as np
from liverseg.training.loader import make_batches
from liverseg.training.samples import Sample

class Empty:
    def draw(self, rng, size):
        image = np.zeros((size, size, 3), np.float32)
        return Sample(image, image[..., 0], image[..., 0])

if __name__ == "__main__":
    stage = SimpleNamespace(size=8, batch=2, steps=10**9, seed=0)
    try:
        for batch in make_batches(Empty(), stage, workers=2):
            print("made", flush=True)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def test_ctrl_c_ends_all_processes_without_a_word_of_theirs(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "made\n"
    started = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert output.endswith("stopped\n")
    assert errors == ""
    assert process.returncode == 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in started - {process.pid}):
        assert time.monotonic() < deadline
        time.sleep(0.05)
