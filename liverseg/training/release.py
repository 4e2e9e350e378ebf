"""The files that are shipped: both networks in float16 and their config.json.

python -m liverseg release --work DIR --out weights
"""

import argparse
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ..network.recipe import Recipe
from ..network.weights import NETWORKS, write_config
from .record import read_record
from .stages import TRAIN
from .train import check_same, load_trained


def save_half(model: keras.Model, path: Path) -> None:
    """Writes a model's weights as a Keras weights file of float16, half as large.

    `build_resunet(...).load_weights(path)` reads it into float32.
    """
    full = path.with_name(f"full_{path.name}")
    model.save_weights(full)
    with h5py.File(full) as source, h5py.File(path, "w") as target:
        source.visititems(lambda name, item: _copy_half(name, item, target))
    full.unlink()


def _copy_half(name: str, item: Any, target: h5py.File) -> None:
    if isinstance(item, h5py.Dataset):
        values = item[()]
        target[name] = values.astype(np.float16) if values.dtype == np.float32 else values
    else:
        target.require_group(name).attrs.update(item.attrs)


def save_release(
    models: dict[str, keras.Model], recipe: Recipe, trained: dict, folder: Path
) -> None:
    """Writes what `weights.load_config` reads: one float16 file per network, and config.json.

    Args:
        models: by network.
        recipe: what they were trained with, with the thresholds chosen on validation patients.
        trained: where they come from; JSON-ready.
        folder: created where missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {network: f"{network}.weights.h5" for network in NETWORKS}
    for network, name in names.items():
        save_half(models[network], folder / name)
    write_config(folder, recipe, names, trained)


def release(work: Path, out: Path) -> None:
    """Ships what `train` left in a work folder.

    Raises:
        DataError: where a network is missing, is not the one that `train` left, or they were not
            trained on the same.
    """
    liver, tumor = (read_record(work, network) for network in NETWORKS)
    common = ("data", "split", "recipe")
    check_same(liver, {key: tumor.get(key) for key in common}, work)
    models: dict[str, keras.Model] = {network: load_trained(work, network) for network in NETWORKS}
    trained = {
        "command": TRAIN,
        "stages": {"liver": liver["stages"], "tumor": tumor["stages"]},
        "split": liver["split"],
        "learned": liver["split"]["train"],
        "teacher": tumor.get("teacher"),
        "scans": tumor["scans"],
        "code": {"liver": liver["code"], "tumor": tumor["code"]},
    }
    save_release(models, Recipe.from_dict(tumor["recipe"]), trained, out)


def main(argv: list[str]) -> None:
    """The command `release`."""
    parser = argparse.ArgumentParser(prog="python -m liverseg release", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where `train` left the networks")
    parser.add_argument("--out", type=Path, default=Path("weights"), help="the weights folder")
    args = parser.parse_args(argv)
    release(args.work, args.out)
