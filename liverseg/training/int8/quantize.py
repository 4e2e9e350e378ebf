"""`python -m liverseg quantize`: the trained networks as the fast engine's 8-bit files.

    weights + calibration slices → what every result is like → int8 ONNX graph → weights folder

The files' names and sha256 go into the folder's config.json.
"""

import argparse
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import onnx

from ...network.engine import Network, load_network, open_session
from ...network.preprocess import NetworkInput, tumor_square, tumor_window, whole_slice
from ...network.recipe import Recipe
from ...network.weights import FOLDER, NETWORKS, Weights, fast_key, load_config
from ...scores.metrics import dice
from ...volume import Volume
from ..record import change_config
from .graph import Int8Operations
from .network import Layers, network
from .ranges import FloatOperations

SCANS, SLICES_A_SCAN = 10, 6
BATCH = 4

Labelled = tuple[Volume, np.ndarray]  # a scan and its liver, (z, y, x) bool


def main(argv: list[str]) -> None:
    """Exports both networks and says how well they agree with the reference."""
    parser = argparse.ArgumentParser(
        prog="python -m liverseg quantize",
        description="Writes the trained networks as the fast engine's 8-bit files.",
    )
    parser.add_argument("--weights", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="labelled scans, as for training, to calibrate on instead of synthetic ones",
    )
    args = parser.parse_args(argv)
    scans = training_scans(args.calibration) if args.calibration else phantoms()
    export(args.weights, list(islice(scans, SCANS)))


def export(folder: Path, scans: list[Labelled]) -> None:
    """Writes both networks' fast files into a weights folder and its config.json.

    Args:
        folder: with the reference's weights.
        scans: the integers' ranges are measured on some of their slices.
    """
    weights = load_config(folder)
    names = {}
    for name in NETWORKS:
        images = np.concatenate([slices_for(name, *scan, weights.recipe) for scan in scans])
        model, expected = quantized(weights, name, images)
        names[fast_key(name)] = f"{name}.onnx"
        path = folder / names[fast_key(name)]
        onnx.save(model, path)
        found = open_session(path).run(None, {"image": images})[0]
        print(f"{name}: {path.stat().st_size / 1e6:.1f} MB, {agreement(expected, found)}")
    change_config(weights, weights.recipe, weights.trained, names)


def quantized(
    weights: Weights, name: Network, images: np.ndarray
) -> tuple[onnx.ModelProto, np.ndarray]:
    """One network in 8-bit integers, calibrated on images.

    Args:
        weights: the reference's.
        name: of the network.
        images: (n, size, size, 3) float32 in [0, 1].

    Returns:
        The ONNX model, and the reference's probabilities (n, size, size, 1) of the images.
    """
    recipe = weights.recipe
    reference = load_network(weights, name)
    floats = FloatOperations()
    expected = [
        floats.run(Layers(reference), recipe.filters, images[start : start + BATCH])
        for start in range(0, len(images), BATCH)
    ]
    integers = Int8Operations(floats.activations())
    probability = network(integers, Layers(reference), recipe.filters, integers.image())
    return integers.model(probability), np.concatenate(expected)


def agreement(expected: np.ndarray, found: np.ndarray) -> str:
    """How near the integers come to the reference, in words."""
    overlap = dice(found >= 0.5, expected >= 0.5)
    words = "undefined" if overlap is None else f"{overlap:.4f}"
    difference = np.abs(expected - found).mean()
    return f"Dice with the reference {words}, mean difference of the probability {difference:.4f}"


def slices_for(name: Network, volume: Volume, liver: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Some slices as a network sees them, evenly spread: (n, size, size, 3) float32."""
    if name == "liver":
        square, z = whole_slice(volume.shape[1:]), np.arange(volume.shape[0])
        window_hu = recipe.window_hu
    else:
        square = tumor_square(liver, volume.spacing, recipe)
        z = np.flatnonzero(liver.any(axis=(1, 2)))
        window_hu = tumor_window(volume.hu[liver], recipe)
    chosen = z[np.linspace(0, len(z) - 1, min(SLICES_A_SCAN, len(z))).astype(int)]
    return NetworkInput(volume, square, recipe, window_hu).batch(chosen)


def phantoms() -> Iterator[Labelled]:
    """Synthetic scans without end."""
    from ...phantom import make_phantom

    for seed in count():
        volume, truth = make_phantom(seed, shape=(24, 512, 512))
        yield volume, truth.liver


def training_scans(root: Path) -> Iterator[Labelled]:
    """The training patients' scans of a data set that training can read, one at a time."""
    from ..datasets import cases_of_side
    from ..labelled_scan import spacing_of

    for case in cases_of_side(root, "train"):
        if len(case.z_mm) > SLICES_A_SCAN and case.labels.any():
            yield Volume(np.array(case.hu), spacing_of(case)), case.labels > 0
