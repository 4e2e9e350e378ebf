"""A scan to liver and tumors: the two networks one after the other, streamed as they work.

    liver network on whole slices → largest 3-D component, holes filled
    → tumor network on the square around it → what is inside the liver

The liver is cleaned on the network's grid, where a scan is small. The masks are the thresholded
probabilities on the scan's grid.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from .engine import Engine, Network, load_engine
from .postprocess import bounding_box, clean_liver, remove_small
from .preprocess import (
    UNKNOWN_SPACING,
    NetworkInput,
    Square,
    from_network,
    tumor_square,
    tumor_window,
    whole_slice,
)
from .volume import (
    LIVER,
    TUMOR,
    Probability,
    Segmentation,
    Spacing,
    Volume,
)

LOOK, LIVER_STAGE, TUMOR_STAGE = "Looking for the liver", "Outlining the liver", "Finding tumors"
NO_LIVER = "No liver was found in this scan. Is it a CT of the upper abdomen?"
COARSE_MM = 10.0  # the first look's step: no liver is thinner


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the work.

    Attributes:
        stage: what is being done, for a progress bar.
        done, total: of this stage.
        z: slices that have preliminary labels now.
        labels: (len(z), y, x) uint8, of those slices.
        result: the segmentation; in the last step only.
    """

    stage: str
    done: int
    total: int
    z: tuple[int, ...] = ()
    labels: np.ndarray | None = None
    result: Segmentation | None = None


def segment(
    volume: Volume,
    progress: Callable[[str, int, int], None] | None = None,
    engine: Engine | None = None,
) -> Segmentation:
    """Finds the liver and its tumors.

    Args:
        volume: the scan.
        progress: called with (stage, done, total).
        engine: `load_engine()` by default.

    Raises:
        WeightsError: where there are no usable weights.
    """
    for step in segment_steps(volume, engine):
        if progress:
            progress(step.stage, step.done, step.total)
    return step.result


def segment_steps(volume: Volume, engine: Engine | None = None) -> Iterator[Step]:
    """As `segment`, step by step: preliminary masks from the middle outwards, then the result.

    Closing the iterator stops the work after at most one batch.
    """
    engine = engine or load_engine()
    recipe = engine.recipe
    values = yield from _liver_steps(volume, engine)
    clean_liver(values, level(recipe.liver_threshold))
    labels = np.zeros(volume.shape, np.uint8)
    liver = _on_scan(values, whole_slice(volume.shape[1:]), volume.shape)
    if liver is None or liver.values.max() < level(recipe.liver_threshold):
        yield Step(LIVER_STAGE, 1, 1, result=Segmentation(labels, notices=(NO_LIVER,)))
        return
    labels[liver.box][liver.values >= level(recipe.liver_threshold)] = LIVER
    tumor = yield from _tumor_steps(volume, engine, labels, liver)
    labels[tumor.box][tumor.values >= level(recipe.tumor_threshold)] = TUMOR
    yield Step(TUMOR_STAGE, 1, 1, result=Segmentation(labels, liver, tumor))


def level(threshold: float) -> int:
    """The 8-bit value from which a voxel belongs to the mask."""
    return round(threshold * 255)


def _liver_steps(volume: Volume, engine: Engine):
    """Yields Steps; returns (z, size, size) uint8 on the network's grid.

    A first look at one slice every centimetre, then at the slices between two of which at least
    one has liver. A component that touches a slice of the first look cannot go on beyond an empty
    one, so it is found whole: the result is that of looking at all slices, unless the largest
    component lies between two looks.
    """
    recipe = engine.recipe
    square = whole_slice(volume.shape[1:])
    images = NetworkInput(volume, square, recipe)
    values = np.zeros((volume.shape[0], recipe.size, recipe.size), np.uint8)
    threshold = level(recipe.liver_threshold)
    middle = volume.shape[0] // 2

    def steps(stage, z):
        done = 0
        for batch, outputs in _predict(engine, "liver", images, _outwards(z, middle)):
            values[batch] = outputs
            done += len(batch)
            on_scan = [from_network(output, square, volume.shape[1:]) for output in outputs]
            labels = (np.stack(on_scan) >= threshold).astype(np.uint8)
            yield Step(stage, done, len(z), tuple(batch.tolist()), labels)

    stride = coarse_stride(volume.spacing)
    first = np.arange(0, volume.shape[0], stride)
    yield from steps(LOOK, first)
    found = (values[first] >= threshold).any(axis=(1, 2))
    between = np.setdiff1d(np.arange(volume.shape[0]), first)
    if found.any():
        found = np.append(found, False)
        between = between[found[between // stride] | found[between // stride + 1]]
    yield from steps(LIVER_STAGE, between)
    return values


def coarse_stride(spacing: Spacing | None) -> int:
    """How many slices apart the first look's slices are."""
    z_mm = (spacing and spacing.z) or UNKNOWN_SPACING.z
    return max(1, int(COARSE_MM / z_mm))


def _predict(
    engine: Engine, network: Network, images: NetworkInput, z: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields some of the slices `z` at a time with their probabilities (n, size, size) uint8.

    The next batch is already at work while the caller looks at the last one.
    """

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability = engine.predict(network, images.batch(batch))
        return batch, np.rint(probability * 255).astype(np.uint8)

    batches = (z[k : k + engine.batch_size] for k in range(0, len(z), engine.batch_size))
    with ThreadPoolExecutor(1) as ahead:
        waiting = deque(ahead.submit(run, batch) for batch in islice(batches, 1))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(ahead.submit(run, batch) for batch in islice(batches, 1))
            yield done


def _outwards(z: np.ndarray, middle: int) -> np.ndarray:
    """The same slices, those nearest the middle one first."""
    return z[np.argsort(np.abs(z - middle), kind="stable")]


def _on_scan(values: np.ndarray, square: Square, shape: tuple[int, int, int]) -> Probability | None:
    """Network output (z, size, size) uint8 as a box on the scan's grid; None where all is 0."""
    outline = from_network(values.max(axis=0), square, shape[1:])
    if not outline.any():
        return None
    z = np.flatnonzero(values.any(axis=(1, 2)))
    first, last = int(z[0]), int(z[-1]) + 1
    _, y, x = bounding_box(outline[None] > 0)
    box = np.empty((last - first, y.stop - y.start, x.stop - x.start), np.uint8)
    for k in range(first, last):
        box[k - first] = from_network(values[k], square, shape[1:])[y, x]
    return Probability(box, (first, y.start, x.start))


def _tumor_steps(volume: Volume, engine: Engine, labels: np.ndarray, liver: Probability):
    """Yields Steps; returns the tumor network's Probability in the liver's box.

    Args:
        volume: the scan.
        engine: of both networks.
        labels: (z, y, x) uint8, the liver.
        liver: of which the labels are made.
    """
    recipe = engine.recipe
    threshold = level(recipe.tumor_threshold)
    inside = liver.values >= level(recipe.liver_threshold)
    z, y, x = liver.corner
    square = tumor_square(inside, volume.spacing, recipe).moved(y, x)
    window_hu = tumor_window(volume.hu[liver.box][inside], recipe)
    images = NetworkInput(volume, square, recipe, window_hu)
    values = np.zeros_like(liver.values)
    slices = np.flatnonzero(inside.any(axis=(1, 2))) + z
    done = 0
    for batch, outputs in _predict(engine, "tumor", images, _outwards(slices, int(slices.mean()))):
        for k, output in zip(batch - z, outputs, strict=True):
            on_scan = from_network(output, square, volume.shape[1:])
            values[k] = on_scan[liver.box[1:]] * inside[k]
        done += len(batch)
        preliminary = labels[batch]
        preliminary[:, *liver.box[1:]][values[batch - z] >= threshold] = TUMOR
        yield Step(TUMOR_STAGE, done, len(slices), tuple(batch.tolist()), preliminary)
    if volume.voxel_ml is not None:
        remove_small(values, threshold, math.ceil(recipe.min_tumor_mm3 / volume.voxel_ml / 1000))
    return Probability(values, liver.corner)
