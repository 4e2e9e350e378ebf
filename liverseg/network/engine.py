"""Two engines that run the networks: the reference (Keras on TensorFlow) and a fast one (ONNX).

Both take the same input and agree. "auto" is the fast one where it works, else the reference; only
the reference imports TensorFlow, which costs seconds and half a gigabyte.
"""

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import WeightsError
from ..sentences import say
from .recipe import Recipe
from .weights import NETWORKS, Network, Weights, fast_key, load_config

THREADS_VARIABLE = "LIVERSEG_THREADS"

log = logging.getLogger(__name__)
_loaded: dict[tuple[str, Path, str], "Engine"] = {}
_lock = threading.Lock()


class Engine(Protocol):
    """Runs the two networks; safe to share between threads.

    Attributes:
        recipe: what the networks were trained with.
        identity: short, of exactly these weights and this engine.
        batch_size: how many slices at a time it likes.
    """

    recipe: Recipe
    identity: str
    batch_size: int

    def predict(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Probabilities (y, x) float32 of each image (y, x, 3) float32 in [0, 1].

        Sides are multiples of `recipe.coarsest` and may differ from image to image.
        """


def load_engine(
    name: Literal["auto", "reference", "fast"] = "auto", folder: str | Path | None = None
) -> Engine:
    """The engine of that name, made once per process and state of the weights folder.

    Args:
        name: "auto" is the fast one where it works here, else the reference.
        folder: see `load_config`.

    Raises:
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    weights = load_config(folder)
    key = name, weights.folder, weights.identity(tuple(sorted(weights.files)))
    with _lock:
        if key not in _loaded:
            _loaded[key] = _make_engine(name, weights)
        return _loaded[key]


def check_weights(folder: str | Path | None = None) -> None:
    """Looks whether an engine would find its files, without loading it.

    Args:
        folder: see `load_config`.

    Raises:
        WeightsError: where the files are missing or damaged.
    """
    weights = load_config(folder)
    try:
        for network in NETWORKS:
            weights.path(fast_key(network))
    except WeightsError:
        for network in NETWORKS:
            weights.path(network)


def _make_engine(name: str, weights: Weights) -> Engine:
    if name == "reference":
        return KerasEngine(weights)
    if name == "fast":
        return OnnxEngine(weights)
    if name != "auto":
        raise ValueError(f"engine must be 'auto', 'reference' or 'fast', got {name!r}")
    try:
        return OnnxEngine(weights)
    except (ImportError, OSError, WeightsError) as error:
        log.warning("Running the slower reference engine, since the fast one failed: %s", error)
        return KerasEngine(weights)


class KerasEngine:
    """The reference: the Keras networks in float32 on TensorFlow."""

    batch_size = 8

    def __init__(self, weights: Weights):
        """Builds both networks and loads `weights` into them."""
        import tensorflow as tf

        self.recipe = weights.recipe
        self.identity = f"reference-{weights.identity(NETWORKS)}"
        signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
        self._run = {
            network: tf.function(load_network(weights, network), signature) for network in NETWORKS
        }

    def predict(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine.predict`."""
        found: dict[int, np.ndarray] = {}
        for shape in {image.shape for image in images}:
            alike = [k for k, image in enumerate(images) if image.shape == shape]
            batch = np.stack([images[k] for k in alike])
            found |= zip(alike, self._run[network](batch).numpy()[..., 0], strict=True)
        return [found[k] for k in range(len(images))]


def load_network(weights: Weights, network: Network) -> Any:
    """The Keras model of one network with its weights; WeightsError where they do not fit."""
    from ..model import build_resunet

    recipe = weights.recipe
    path = weights.path(network)
    model = build_resunet((None, None, 3), recipe.filters, name=network)
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError):
        raise WeightsError(
            say("weights.other_architecture", key=network, filters=recipe.filters)
        ) from None
    return model


class OnnxEngine:
    """The fast one: the exported networks in 8-bit integers on ONNX Runtime.

    Each thread runs a slice of its own: none waits for another inside the network.
    """

    def __init__(self, weights: Weights):
        """Opens both sessions; WeightsError where the files do not work here."""
        keys = {network: fast_key(network) for network in NETWORKS}
        self.recipe = weights.recipe
        self._sessions = {name: open_session(weights.path(key)) for name, key in keys.items()}
        self.identity = f"fast-{weights.identity(tuple(keys.values()))}"
        threads = thread_count()
        self.batch_size = 4 * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="network")

    def predict(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine.predict`."""

        def run(image: np.ndarray) -> np.ndarray:
            return self._sessions[network].run(None, {"image": image[None]})[0][0, ..., 0]

        return list(self._pool.map(run, images))


def open_session(path: Path) -> Any:
    """A single-threaded ONNX Runtime session; WeightsError where the file is none."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else it reports to its maker; read at import
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise WeightsError(say("weights.fast_file_fails")) from error


def thread_count() -> int:
    """LIVERSEG_THREADS, else the cores this process may use."""
    wanted = os.environ.get(THREADS_VARIABLE, "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if wanted:
        log.warning("%s is no number from 1, so all cores are used.", THREADS_VARIABLE)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ) or 1
    return min(cores, _container_cores() or cores)


def _container_cores() -> int | None:
    """The whole cores a Linux container's quota allows; os.cpu_count() shows the host's."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))
