"""Trains the two networks: steps, checkpoints that go on along the same curve, a log.

    python -m liverseg train liver --data DIR --work DIR
    python -m liverseg train tumor --data DIR --work DIR      (begins with the liver network)
    python -m liverseg train tumor ... --teacher weights      (learns from unannotated livers too)
    python -m liverseg release --work DIR --out weights       (release.py)

With --quick all steps are over in a minute on phantoms; such networks are of no use.

Written with keras only; KERAS_BACKEND chooses TensorFlow, JAX or torch.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from ..errors import DataError
from ..model import build_resunet
from ..network.recipe import Recipe
from ..network.weights import NETWORKS, load_config
from ..sentences import say
from . import fingerprint
from .cache import packed
from .datasets import read_data, read_sides
from .labelled_scan import LabelledScan
from .loader import make_batches
from .losses import make_loss
from .pseudo_labels import Teacher, pseudo_label
from .quick_dice import validate
from .record import learned_by, read_record, weights_file, write_record
from .samples import LiverSamples, Samples, TumorSamples
from .split import SIDES, split_cases
from .stages import QUICK, QUICK_RECIPE, STAGES, Stage

SAMPLES = {"liver": LiverSamples, "tumor": TumorSamples}
LOG_FIELDS = ("step", "seconds", "learning_rate", "loss", "val_dice")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
CODE = ("model.py", "network", "training")  # what decides what a training does


def train(
    network: str,
    split: dict[str, list[LabelledScan]],
    folder: Path,
    recipe: Recipe = Recipe(),  # noqa: B008, frozen
    stages: tuple[Stage, ...] | None = None,
    initial: keras.Model | None = None,
    source: Mapping[str, Any] | None = None,
) -> keras.Model:
    """Trains one network stage by stage; goes on where a stopped training was.

    A record of what it was made of is written last, beside the weights.

    Args:
        network: which.
        split: of `split_cases`; "train" is learned, "val" only measured.
        folder: for `<network>_<stage>/` with log and checkpoint, and for the resulting
            `<network>.weights.h5`.
        recipe: how scans become input.
        stages: `STAGES[network]` by default; each begins with the weights of the one before.
        initial: a network to begin with; random weights by default.
        source: where the scans and some of their labels come from, for the record.

    Returns:
        The network, with the running average of its weights.
    """
    samples = SAMPLES[network](split["train"], recipe)
    stages = stages or STAGES[network]
    scans = {side: fingerprint.of_scans(split[side]) for side in ("train", "val")}
    weights = initial.get_weights() if initial else None
    for number, stage in enumerate(stages):
        place = Path(folder) / f"{network}_{number}"
        run = Run(network, stage, place, recipe, weights, made_of=scans)
        run.train(samples, split["val"])
        weights = run.average
    model = build_resunet((recipe.size, recipe.size, 3), recipe.filters, name=network)
    model.set_weights(weights)
    model.save_weights(weights_file(folder, network))
    patients = {s: sorted({case.patient for case in split.get(s, ())}) for s in SIDES}
    made_of = {
        "recipe": recipe.to_dict(),
        "stages": [asdict(stage) for stage in stages],
        "scans": scans,
        "split": patients,
        "code": fingerprint.of_code(*CODE),
    }
    write_record(folder, network, made_of | dict(source or {}))
    return model


class Run:
    """One stage: a model, its optimizer, the running average of its weights, and the step.

    Not Keras's `fit` with `BackupAndRestore`, which goes on at the beginning of an epoch, while
    what a sample is depends on the step; and Keras's average (`use_ema`) leaves out the
    normalizations' moving statistics, which belong to the averaged weights.
    """

    AVERAGE_EVERY, KEEP = 4, 0.98  # the average follows over about 200 steps

    def __init__(
        self,
        network: str,
        stage: Stage,
        folder: Path,
        recipe: Recipe,
        weights: list[np.ndarray] | None = None,
        loss: Callable | None = None,
        made_of: Mapping[str, Any] | None = None,
    ):
        """Builds the model; takes `weights`, or rather the folder's checkpoint where it has one.

        The loss is `make_loss(network)` unless another is given. `made_of` is what the training
        depends on besides, JSON-ready: a checkpoint of anything else is refused.
        """
        keras.utils.set_random_seed(stage.seed)
        self.network, self.stage, self.folder, self.recipe = network, stage, folder, recipe
        self.model = build_resunet((None, None, 3), recipe.filters, name=network)
        schedule = keras.optimizers.schedules.CosineDecay(
            stage.learning_rate / stage.warmup,
            decay_steps=max(1, stage.steps - stage.warmup),
            alpha=0.02,
            warmup_target=stage.learning_rate,
            warmup_steps=stage.warmup,
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-2, global_clipnorm=5.0)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.model.compile(optimizer, loss=loss or make_loss(network))
        # the model's, which in mixed_float16 wraps this one and has its loss scale to restore
        self.model.optimizer.build(self.model.trainable_variables)
        if weights is not None:
            self.model.set_weights(weights)
        self.made_of = {
            "network": network,
            "stage": asdict(stage),
            "recipe": recipe.to_dict(),
            "precision": keras.config.dtype_policy().name,
            "initial weights": weights and fingerprint.of_arrays(weights),
            "code": fingerprint.of_code(*CODE),
            **(made_of or {}),
        }
        # where the model's are, so that nothing waits for a copy of them
        self._average = [
            keras.Variable(now, dtype=now.dtype, trainable=False)
            for now in self.model.get_weights()
        ]
        self.log: list[dict[str, Any]] = []
        self.step, self.seconds = 0, 0.0
        if (folder / "state.json").is_file():
            self._load()

    def train(self, samples: Samples, validation: list[LabelledScan]) -> None:
        """Trains to the stage's last step, with checkpoints and a line of the log now and then."""
        stage, losses, begin = self.stage, [], time.monotonic() - self.seconds
        with closing(make_batches(samples, stage, self.step)) as batches:
            for image, target in tqdm(batches, self.network, stage.steps, initial=self.step):
                losses.append(float(self.model.train_on_batch(image, target)))
                self.model.reset_metrics()
                self.step += 1
                if self.step % self.AVERAGE_EVERY == 0:
                    self._follow()
                check = self.step % stage.check_every == 0 or self.step == stage.steps
                if check or self.step % stage.log_every == 0:
                    self.seconds = time.monotonic() - begin
                    rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
                    dice = self._validate(validation) if check else None
                    line = self.step, round(self.seconds, 1), rate, np.mean(losses), dice
                    self.log.append(dict(zip(LOG_FIELDS, line, strict=True)))
                    self._write_log()
                    losses = []
                if check:
                    self._save()

    def _follow(self) -> None:
        keep = min(self.KEEP, self.step / (self.step + 10 * self.AVERAGE_EVERY))
        for mean, now in zip(self._average, self.model.weights, strict=True):
            mean.assign(keep * mean.value + (1 - keep) * now.value)

    @property
    def average(self) -> list[np.ndarray]:
        """The running average of the model's weights, as `model.get_weights` has these."""
        return [keras.ops.convert_to_numpy(mean) for mean in self._average]

    def _validate(self, cases: list[LabelledScan]) -> float | None:
        """Mean Dice of the averaged weights."""
        trained = self.model.get_weights()
        self.model.set_weights(self.average)
        dice = validate(self.model, self.network, cases, self.recipe)
        self.model.set_weights(trained)
        return dice

    def _save(self) -> None:
        """state.json is written last: without it there is no checkpoint."""
        (self.folder / "state.json").unlink(missing_ok=True)
        self.model.save_weights(self.folder / "last.weights.h5")  # with the optimizer's state
        np.savez(self.folder / "average.npz", *self.average)
        state = {"made_of": self.made_of, "step": self.step, "seconds": self.seconds}
        (self.folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    def _load(self) -> None:
        state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        # as JSON stores it
        found, wanted = state.get("made_of", {}), json.loads(json.dumps(self.made_of))
        keys = found.keys() | wanted.keys()
        differ = tuple(sorted(key for key in keys if found.get(key) != wanted.get(key)))
        if differ:
            raise DataError(say("data.other_checkpoint", folder=self.folder, differ=differ))
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_weights(self.folder / "last.weights.h5")
        with np.load(self.folder / "average.npz") as stored:
            for k, mean in enumerate(self._average):
                mean.assign(stored[f"arr_{k}"])
        with (self.folder / "log.csv").open(encoding="utf-8") as file:  # without what is done again
            self.log = [line for line in csv.DictReader(file) if int(line["step"]) <= self.step]

    def _write_log(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_FIELDS)
            writer.writeheader()
            writer.writerows(self.log)


def main(argv: list[str]) -> None:
    """The command `train`."""
    parser = argparse.ArgumentParser(prog="python -m liverseg train", description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True, help="labelled scans, or 'phantom'")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, logs, cache of data")
    parser.add_argument("--teacher", type=Path, help="weights that say where unseen tumors are")
    parser.add_argument(
        "--quick", action="store_true", help="a small network for few steps, to try the commands"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="mixed on a GPU")
    args = parser.parse_args(argv)
    if args.teacher and args.network != "tumor":
        parser.error(
            "--teacher labels tumors, which the liver network does not learn: leave it out"
        )
    keras.config.set_dtype_policy(args.precision)
    cases = packed(args.data, args.work / "cache", read_data)
    sides = read_sides(args.data, cases)
    split = split_cases(cases, sides)
    recipe, stages = (QUICK_RECIPE, QUICK) if args.quick else (Recipe(), STAGES[args.network])
    scans_and_sides = fingerprint.of_scans(cases), json.dumps(sides, sort_keys=True)
    source: dict[str, Any] = {"data": fingerprint.of_text(*scans_and_sides)}
    liver = None
    if args.network == "tumor":
        check_same(
            read_record(args.work, "liver"), source | {"recipe": recipe.to_dict()}, args.work
        )
        liver = load_trained(args.work, "liver")
    if args.teacher:
        teacher = load_config(args.teacher)
        learned = learned_by(teacher)
        held_out = sorted(learned & {c.patient for side in ("val", "test") for c in split[side]})
        if held_out:
            raise DataError(say("data.teacher_learned", patients=tuple(held_out)))
        source["teacher"] = {"weights": teacher.identity(NETWORKS), "learned": sorted(learned)}
        labels = Teacher(teacher)
        split["train"] = [pseudo_label(case, labels) for case in tqdm(split["train"], "teacher")]
    try:
        train(args.network, split, args.work, recipe, stages, liver, source)
    except KeyboardInterrupt:
        raise DataError(say("data.training_stopped")) from None


def check_same(liver: Mapping[str, Any], tumor: Mapping[str, Any], work: Path) -> None:
    """DataError where the liver network was not trained on what the tumor network is.

    Args:
        liver, tumor: records; what the first lacks of the second, or has otherwise, differs.
        work: their folder.
    """
    differ = tuple(sorted(key for key, value in tumor.items() if liver.get(key) != value))
    if differ:
        raise DataError(say("data.other_liver", folder=work, differ=differ))


def load_trained(work: Path, network: str) -> keras.Model:
    """What `train` left in a work folder, whole and unchanged."""
    recipe = Recipe.from_dict(read_record(work, network)["recipe"])
    model = build_resunet((recipe.size, recipe.size, 3), recipe.filters, name=network)
    model.load_weights(weights_file(work, network))
    return model
