"""Losses worked by hand, a training that goes on where it was, the files that are shipped."""

import ast
import csv
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from liverseg.errors import DataError, WeightsError
from liverseg.model import build_resunet
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, write_config
from liverseg.training import fingerprint
from liverseg.training.labelled_scan import LabelledScan
from liverseg.training.loader import make_batches
from liverseg.training.losses import make_loss, overlap_loss
from liverseg.training.quick_dice import outputs, validate
from liverseg.training.record import change_config, check_unseen, learned_by
from liverseg.training.release import release, save_release
from liverseg.training.train import Run, Stage, train

pytestmark = pytest.mark.slow

LIVERSEG = Path(__file__).resolve().parent.parent / "liverseg"

SMALL = Recipe(size=32, filters=(4, 8))
STAGE = Stage(size=32, batch=2, steps=6, learning_rate=1e-3, warmup=2, log_every=1, check_every=3)


def make_case() -> LabelledScan:
    """A liver with a dark tumor on four of eight slices, in something brighter."""
    labels = np.zeros((8, 48, 48), np.uint8)
    labels[1:7, 10:34, 8:30] = 1
    labels[2:6, 16:24, 14:22] = 2
    hu = np.choose(labels, [300, 100, 50]).astype(np.int16)
    return LabelledScan("a", "a", hu, labels, np.arange(8) * 2.5, 0.75)


@pytest.fixture(scope="module")
def case() -> LabelledScan:
    return make_case()


def test_the_overlap_loss_is_the_dice_loss_worked_by_hand():
    truth = np.array([1.0, 1.0, 0.0, 0.0])
    probability = np.array([1.0, 0.5, 0.5, 0.0])
    # tp 1.5, fn 0.5, fp 0.5, and one voxel on both sides: 1 - 2.5 / 3
    loss = overlap_loss(truth, probability, np.ones(4))
    assert float(loss) == pytest.approx(1 - 2.5 / 3)


def test_a_missed_voxel_can_cost_more_than_a_false_one():
    truth, nothing, everything = np.array([1.0, 0.0]), np.zeros(2), np.ones(2)
    one = np.ones(2)
    assert float(overlap_loss(truth, nothing, one, missed=0.6)) == pytest.approx(1 - 1 / 1.6)
    assert float(overlap_loss(truth, everything, one, missed=0.6)) == pytest.approx(1 - 2 / 2.4)


def test_nothing_wanted_and_nothing_said_costs_nothing():
    assert float(overlap_loss(np.zeros(4), np.zeros(4), np.ones(4))) == 0


def test_a_pixel_without_weight_counts_nowhere():
    mask, probability = np.array([[1.0, 1.0]]), np.array([[[[0.5], [0.25]]]], np.float32)
    target = np.stack([mask, [[1.0, 0.0]]], -1)[None].astype(np.float32)
    # overlap: tp 0.5, fn 0.5 at half its cost; entropy: ln 2
    wanted = 1 - 1.5 / 1.75 + np.log(2)
    assert float(make_loss("liver")(target, probability)) == pytest.approx(wanted, rel=1e-5)


def read_log(folder):
    with (folder / "liver_0" / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(case, tmp_path_factory):
    """A tiny training without a stop, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    model = train("liver", {"train": [case], "val": [case]}, folder, SMALL, (STAGE,))
    return model, folder


def test_a_stopped_training_goes_on_along_the_same_curve(case, trained, tmp_path, monkeypatch):
    import liverseg.training.train as training

    model, folder = trained
    split = {"train": [case], "val": [case]}

    def stops(*args):
        for k, batch in enumerate(make_batches(*args)):
            if k == 4:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_batches", stops)
        with pytest.raises(KeyboardInterrupt):
            train("liver", split, tmp_path, SMALL, (STAGE,))
    again = train("liver", split, tmp_path, SMALL, (STAGE,))

    def losses(folder):
        return [float(row["loss"]) for row in read_log(folder)]

    whole, resumed = losses(folder), losses(tmp_path)
    assert [row["step"] for row in read_log(tmp_path)] == ["1", "2", "3", "4", "5", "6"]
    assert resumed == pytest.approx(whole, rel=1e-4)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_training_that_is_stopped_says_how_it_goes_on(case, tmp_path, monkeypatch):
    import liverseg.training.train as training

    def stops(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "packed", lambda *args: [case])
    monkeypatch.setattr(training, "read_sides", lambda *args: {"train": [], "val": [], "test": []})
    monkeypatch.setattr(training, "train", stops)
    with pytest.raises(DataError, match=r"stopped.*continues from the last checkpoint"):
        training.main(["liver", "--data", "any", "--work", str(tmp_path)])


def changed_settings(case):
    """By what differs from the fixture `trained`: its split, recipe, stage and initial network."""
    split = {"train": [case], "val": [case]}
    moved = dataclasses.replace(case, z_mm=case.z_mm * 2)
    wider = dataclasses.replace(SMALL, window_hu=(-50, 160))
    longer = dataclasses.replace(STAGE, steps=9)
    begun = build_resunet((32, 32, 3), SMALL.filters)
    return {
        "stage": (split, SMALL, longer, None),
        "recipe": (split, wider, STAGE, None),
        "train": (split | {"train": [moved]}, SMALL, STAGE, None),
        "val": (split | {"val": []}, SMALL, STAGE, None),
        "initial weights": (split, SMALL, STAGE, begun),
    }


@pytest.mark.parametrize("what", ["stage", "recipe", "train", "val", "initial weights", "code"])
def test_a_checkpoint_of_anything_else_is_not_continued(what, case, trained, monkeypatch):
    _, folder = trained
    settings = changed_settings(case)
    same = {"train": [case], "val": [case]}, SMALL, STAGE, None
    split, recipe, stage, initial = settings.get(what, same)
    if what == "code":
        monkeypatch.setattr(fingerprint, "of_code", lambda *parts: "of tomorrow")
    with pytest.raises(DataError, match=f"a checkpoint of a training with another {what}\\."):
        train("liver", split, folder, recipe, (stage,), initial)


def test_a_checkpoint_of_before_such_records_is_not_continued(case, trained, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(trained[1], folder)
    state = folder / "liver_0" / "state.json"
    state.write_text(json.dumps({"stage": {"steps": 6}, "step": 6, "seconds": 1.0}))
    with pytest.raises(DataError, match="a checkpoint of a training with another code, net"):
        train("liver", {"train": [case], "val": [case]}, folder, SMALL, (STAGE,))


def test_the_average_follows_the_weights_on_the_device(case, tmp_path, monkeypatch):
    run = Run("liver", STAGE, tmp_path, SMALL)
    mean = [one.copy() for one in run.average]
    steps = iter(range(4, 400, 4))
    for _ in range(30):
        now = [one + np.random.default_rng(0).normal(size=one.shape) for one in run.average]
        run.model.set_weights(now)
        run.step = next(steps)
        with monkeypatch.context() as patch:
            patch.setattr(keras.ops, "convert_to_numpy", None)  # nothing is copied to the host
            run._follow()
        keep = min(0.98, run.step / (run.step + 40))
        mean = [keep * m + (1 - keep) * n for m, n in zip(mean, now, strict=True)]
        for found, wanted in zip(run.average, mean, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_mixed_float16_goes_on_with_the_loss_scale_that_it_had(case, tmp_path):
    """The scale starts at 32768 and is halved whenever a gradient overflows."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        run = Run("liver", STAGE, tmp_path, SMALL)
        run.model.optimizer.dynamic_scale.assign(512.0)
        run.model.optimizer.step_counter.assign(7)
        run.model.optimizer.inner_optimizer.iterations.assign(9)
        run._write_log()
        run._save()
        again = Run("liver", STAGE, tmp_path, SMALL)
    finally:
        keras.config.set_dtype_policy(policy)
    assert float(again.model.optimizer.dynamic_scale) == 512
    assert int(again.model.optimizer.step_counter) == 7
    assert int(again.model.optimizer.inner_optimizer.iterations) == 9


@pytest.fixture(scope="module")
def work(case, tmp_path_factory):
    """A work folder with both networks, as the command leaves it."""
    folder = tmp_path_factory.mktemp("work")
    split = {"train": [case], "val": [], "test": [dataclasses.replace(case, name="t", patient="t")]}
    for network in ("liver", "tumor"):
        train(network, split, folder, SMALL, (STAGE,), source={"data": "of today"})
    return folder


def changed_work(work, folder, network, **record):
    """A copy of a work folder with another record of one network."""
    shutil.copytree(work, folder)
    path = folder / f"{network}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | record))
    return folder


def test_a_release_says_of_whom_it_learned_and_of_what_it_was_made(work, tmp_path):
    release(work, tmp_path / "weights")
    weights = load_config(tmp_path / "weights")
    assert weights.recipe == SMALL
    assert learned_by(weights) == {"a"}
    assert weights.trained["split"] == {"train": ["a"], "val": [], "test": ["t"]}
    assert [stage["steps"] for stage in weights.trained["stages"]["tumor"]] == [6]


@pytest.mark.parametrize("what", ["data", "split", "recipe"])
def test_networks_that_were_trained_on_different_things_are_not_released(what, work, tmp_path):
    folder = changed_work(work, tmp_path / "work", "liver", **{what: {"of": "yesterday"}})
    with pytest.raises(DataError, match=f"was trained with another {what} than the tumor"):
        release(folder, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_network_that_is_not_the_one_of_its_record_is_not_released(work, tmp_path):
    folder = changed_work(work, tmp_path / "work", "tumor", sha256="0" * 64)
    with pytest.raises(DataError, match="is not the one that `train` left there"):
        release(folder, tmp_path / "weights")
    (folder / "tumor.json").unlink()
    with pytest.raises(DataError, match="no finished tumor network"):
        release(folder, tmp_path / "weights")


def test_a_folder_whose_files_were_changed_gets_no_new_config(work, tmp_path):
    release(work, tmp_path)
    weights = load_config(tmp_path)
    (tmp_path / "liver.weights.h5").write_bytes(b"of somebody else")
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        change_config(weights, weights.recipe, {})
    assert load_config(tmp_path).trained == weights.trained


def test_a_teacher_s_pupils_have_learned_what_the_teacher_has(case, work, tmp_path):
    teacher = {"weights": "0123", "learned": ["lits_008", "b"]}
    release(changed_work(work, tmp_path / "work", "tumor", teacher=teacher), tmp_path / "weights")
    weights = load_config(tmp_path / "weights")
    assert learned_by(weights) == {"a", "b", "lits_007"}
    for patient in ("b", "lits_007", "lits_009"):
        with pytest.raises(DataError, match=r"were learned by the weights in .* or by their teach"):
            check_unseen(weights, [dataclasses.replace(case, patient=patient)])


def test_weights_that_do_not_say_of_whom_they_learned_are_trusted_with_nobody(tmp_path):
    write_config(tmp_path, SMALL, {}, {"split": {"train": ["a"]}})
    with pytest.raises(WeightsError, match="does not say which patients they learned"):
        check_unseen(load_config(tmp_path), [])


def test_the_log_has_the_dice_of_each_checkpoint(trained):
    rows = read_log(trained[1])
    assert [bool(row["val_dice"]) for row in rows] == [False, False, True] * 2
    assert 0 <= float(rows[-1]["val_dice"]) <= 1


class Perfect:
    """Says tumor wherever it is darker than the liver."""

    def predict_on_batch(self, images):
        return (images[..., 1:2] < 0.575).astype(np.float32)


def test_validation_leaves_out_slices_whose_tumors_were_not_annotated(case):
    assert validate(Perfect(), "tumor", [case], SMALL) == pytest.approx(1, abs=0.1)
    labels = case.labels.copy()
    labels[:4][labels[:4] > 0] = 3
    partly = LabelledScan("b", "b", case.hu, labels, case.z_mm, case.pixel_mm)
    probability, truth, _ = outputs(Perfect(), "tumor", partly, SMALL)
    assert len(probability) == 2  # of slices 4, 5 and 6 every second one
    assert truth.any(axis=(1, 2)).tolist() == [True, False]
    _, liver, _ = outputs(Perfect(), "liver", partly, SMALL)
    assert liver[1].any()  # slice 4 and its like are liver all the same


def test_validation_is_a_mean_over_patients_and_pictures_are_none(case):
    class Everything:
        def predict_on_batch(self, images):
            return np.ones((*images.shape[:-1], 1), np.float32)

    first = dataclasses.replace(case, patient="p")
    labels = np.where(np.arange(48)[:, None] < 20, case.labels, 0).astype(np.uint8)
    second = dataclasses.replace(case, name="c", patient="q", labels=labels)
    alone = [validate(Everything(), "liver", [one], SMALL) for one in (first, second)]
    assert alone[0] != pytest.approx(alone[1])
    again = dataclasses.replace(first, name="b")
    picture = dataclasses.replace(second, name="d", patient="r", z_mm=np.arange(8) * 1e3)
    found = validate(Everything(), "liver", [first, again, second, picture], SMALL)
    assert found == pytest.approx(np.mean(alone))
    assert validate(Everything(), "liver", [picture], SMALL) is None


def test_validation_without_tumors_has_no_dice(case):
    without = LabelledScan("c", "c", case.hu, np.minimum(case.labels, 1), case.z_mm, case.pixel_mm)
    assert validate(Perfect(), "tumor", [without], SMALL) is None


def test_a_release_is_half_as_large_and_says_the_same(trained, tmp_path):
    model, _ = trained
    release = tmp_path / "weights"
    save_release({"liver": model, "tumor": model}, SMALL, {"steps": 6}, release)
    weights = load_config(release)
    assert weights.recipe == SMALL
    assert weights.trained == {"steps": 6}
    read = build_resunet((32, 32, 3), SMALL.filters)
    read.load_weights(weights.path("liver"))
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    difference = keras.ops.convert_to_numpy(read(image) - model(image))
    assert np.abs(difference).max() < 5e-3
    kinds = set()
    with h5py.File(weights.path("liver")) as file:
        file.visititems(lambda _, item: kinds.add(getattr(item, "dtype", None)))
    assert np.dtype("float16") in kinds
    assert np.dtype("float32") not in kinds


FRAMEWORKS = {"tensorflow", "jax", "torch"}
TRAINER = [LIVERSEG / "model.py", *sorted((LIVERSEG / "training").glob("*.py"))]


@pytest.mark.parametrize("path", TRAINER, ids=lambda path: path.name)
def test_the_trainer_knows_keras_and_no_framework_below_it(path):
    names = {
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name
    }
    assert not {name.split(".")[0] for name in names} & FRAMEWORKS
    assert not any(name.startswith("keras.src") for name in names)


TRAINING = """
import sys
from pathlib import Path
import numpy as np
from liverseg.model import build_resunet
from liverseg.training.train import train
from tests.test_train import SMALL, STAGE, make_case

given, folder = np.load(sys.argv[1]), Path(sys.argv[2])
initial = build_resunet((32, 32, 3), SMALL.filters)
initial.set_weights([given[f"arr_{k}"] for k in range(len(given.files) - 1)])
before = initial.predict_on_batch(given["image"])
case = make_case()
trained = train("tumor", {"train": [case], "val": [case]}, folder, SMALL, (STAGE,), initial)
np.savez(folder / "found.npz", before=before, after=trained.predict_on_batch(given["image"]))
"""


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    return train_on("tensorflow", tmp_path_factory.mktemp("tensorflow"))


def train_on(backend, folder):
    """Losses of six steps, and what the network says before and after them, on one backend."""
    keras.utils.set_random_seed(0)
    model = build_resunet((32, 32, 3), SMALL.filters)
    rng = np.random.default_rng(0)
    weights = [array + rng.normal(0, 0.05, array.shape) ** 2 for array in model.get_weights()]
    image = rng.random((2, 32, 32, 3), np.float32)
    np.savez(folder / "given.npz", *weights, image=image)
    command = [sys.executable, "-c", TRAINING, folder / "given.npz", folder]
    settings = os.environ | {"KERAS_BACKEND": backend}
    subprocess.run(command, env=settings, cwd=LIVERSEG.parent, check=True, capture_output=True)
    with (folder / "tumor_0" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    with np.load(folder / "found.npz") as found:
        return losses, found["before"], found["after"]


def if_installed(backend):
    absent = importlib.util.find_spec(backend) is None
    reason = f"needs {backend}, which is not installed here"
    return pytest.param(backend, marks=pytest.mark.skipif(absent, reason=reason))


@pytest.mark.parametrize("backend", [if_installed("jax"), if_installed("torch")])
def test_the_trainer_does_the_same_on_each_backend(backend, on_tensorflow, tmp_path):
    losses, before, after = train_on(backend, tmp_path)
    assert losses == pytest.approx(on_tensorflow[0], abs=1e-3)
    np.testing.assert_allclose(before, on_tensorflow[1], atol=1e-5)
    # AdamW divides by the gradient's size, so where that is nearly 0 its rounding is a step
    np.testing.assert_allclose(after, on_tensorflow[2], atol=5e-3)
