"""A scan to liver and tumors: the two networks one after the other, streamed as they work.

    liver network on whole slices → largest 3-D component, holes filled
    → tumor network on the square around it → what is in the liver or at its rim, and no fluid

The liver is cleaned on the network's grid, where a scan is small. The masks are the thresholded
probabilities on the scan's grid.
"""

import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ..sentences import say
from ..volume import (
    LIVER,
    TUMOR,
    Box,
    Probability,
    Segmentation,
    Spacing,
    Volume,
    bounding_box,
)
from .engine import Engine, Network, load_engine
from .postprocess import clean_liver, remove_doubtful
from .preprocess import (
    NetworkInput,
    Part,
    Square,
    from_network,
    part_around,
    tumor_square,
    tumor_window,
    whole_grid,
    whole_slice,
)
from .recipe import Recipe

LOOK, LIVER_STAGE, TUMOR_STAGE = say("stage.look"), say("stage.liver"), say("stage.tumors")


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
    assert step.result is not None  # the last step has it
    return step.result


def segment_steps(volume: Volume, engine: Engine | None = None) -> Iterator[Step]:
    """As `segment`, step by step: preliminary masks from the middle outwards, then the result.

    Closing the iterator stops the work after at most one batch.
    """
    engine = engine or load_engine()
    recipe = engine.recipe
    values = yield from _liver_steps(volume, engine)
    clean_liver(values, level(recipe.liver_threshold), recipe.liver_reach_px)
    labels = np.zeros(volume.shape, np.uint8)
    reach = reach_pixels(volume.spacing, recipe)
    liver = _on_scan(values, whole_slice(volume.shape[1:]), volume.shape, reach)
    if liver is None or liver.values.max() < level(recipe.liver_threshold):
        yield Step(
            LIVER_STAGE, 1, 1, result=Segmentation(labels, notices=(say("network.no_liver"),))
        )
        return
    labels[liver.box][liver.values >= level(recipe.liver_threshold)] = LIVER
    tumor, fluid = yield from _tumor_steps(volume, engine, labels, liver, reach)
    found = tumor.values >= level(recipe.tumor_threshold)
    labels[tumor.box][found] = TUMOR
    liver.values[found & (liver.values < level(recipe.liver_threshold))] = 255
    notices = (say("network.fluid", count=fluid, hu=recipe.fluid_hu),) if fluid else ()
    yield Step(TUMOR_STAGE, 1, 1, result=Segmentation(labels, liver, tumor, notices))


def level(threshold: float) -> int:
    """The 8-bit value from which a voxel belongs to the mask."""
    return round(threshold * 255)


def reach_pixels(spacing: Spacing | None, recipe: Recipe) -> int:
    """How far a tumor may reach over the liver's outline."""
    spacing = spacing or recipe.assumed_spacing
    return round(recipe.tumor_reach_mm / min(spacing.y, spacing.x))


def clean_tumors(values: np.ndarray, box: Box, volume: Volume, recipe: Recipe) -> int:
    """Leaves out the tumors that are too small, nowhere sure, or fluid.

    Args:
        values: (z, y, x) uint8 of the tumor network, changed in place.
        box: of the scan, where they are.
        volume: for HU and the size of a voxel; where that is unknown, no tumor is too small, and
            where HU are only assumed, none is fluid.
        recipe: for what counts.

    Returns:
        How many were fluid.
    """
    least = 1
    if volume.voxel_ml is not None:
        least = math.ceil(recipe.min_tumor_mm3 / volume.voxel_ml / 1000)
    hu = None if volume.windowed else volume.hu[box]
    sure = level(recipe.tumor_threshold), least, level(recipe.tumor_peak)
    return remove_doubtful(values, *sure, hu, recipe.fluid_hu)


def _liver_steps(volume: Volume, engine: Engine) -> Generator[Step, None, np.ndarray]:
    """Yields Steps; returns (z, size, size) uint8 on the network's grid.

    A first look at one slice every centimeter, then at the slices between two of which at least
    one has liver. A component that touches a slice of the first look cannot go on beyond an empty
    one, so it is found whole: the result is that of looking at all slices, unless the largest
    component lies between two looks.
    """
    recipe = engine.recipe
    square = whole_slice(volume.shape[1:])
    images = NetworkInput(volume, square, recipe)
    values = np.zeros((volume.shape[0], recipe.size, recipe.size), np.uint8)
    threshold = level(recipe.liver_threshold)
    middle, everything = volume.shape[0] // 2, whole_grid(recipe)

    def steps(stage: str, z: np.ndarray) -> Iterator[Step]:
        done = 0
        for batch, outputs in _predict(engine, "liver", images, z, middle, lambda z: everything):
            values[batch] = outputs
            done += len(batch)
            on_scan = [from_network(output, square, volume.shape[1:]) for output in outputs]
            labels = (np.stack(on_scan) >= threshold).astype(np.uint8)
            yield Step(stage, done, len(z), tuple(batch.tolist()), labels)

    stride = coarse_stride(volume.spacing, recipe)
    first = np.arange(0, volume.shape[0], stride)
    yield from steps(LOOK, first)
    found = (values[first] >= threshold).any(axis=(1, 2))
    between = np.setdiff1d(np.arange(volume.shape[0]), first)
    if found.any():
        found = np.append(found, False)
        between = between[found[between // stride] | found[between // stride + 1]]
    yield from steps(LIVER_STAGE, between)
    return values


def coarse_stride(spacing: Spacing | None, recipe: Recipe) -> int:
    """How many slices apart the first look's slices are."""
    z_mm = (spacing and spacing.z) or recipe.assumed_spacing_mm[0]
    return max(1, int(recipe.coarse_step_mm / z_mm))


def _predict(
    engine: Engine,
    network: Network,
    images: NetworkInput,
    z: np.ndarray,
    middle: float,
    part_of: Callable[[int], Part],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields neighboring slices of `z` with their probabilities (n, size, size) uint8.

    Those nearest the middle come first. The next ones are already at work while the caller looks at
    the last.

    Args:
        engine: of the networks.
        network: which.
        images: its input.
        z: which slices.
        middle: where to begin.
        part_of: what of a slice has to be looked at; elsewhere the probability is 0.
    """
    batches = [z[k : k + engine.batch_size] for k in range(0, len(z), engine.batch_size)]
    batches.sort(key=lambda batch: abs(batch.mean() - middle))

    def run(batch: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.zeros(whole.shape[:3], np.uint8)
        parts = [
            filled_part(image, part_of(k), engine.recipe)
            for k, image in zip(batch, whole, strict=True)
        ]
        seen = [k for k, part in enumerate(parts) if part]
        found = engine.predict(network, [whole[k][parts[k]] for k in seen])
        for k, probability in zip(seen, found, strict=True):
            values[k][parts[k]] = np.rint(probability * 255)
        return batch, values

    with ThreadPoolExecutor(1) as ahead:
        working = None
        for batch in batches:
            whole = images.batch(batch)  # while the batch before is at work
            done, working = working and working.result(), ahead.submit(run, batch, whole)
            if done:
                yield done
        if working:
            yield working.result()


def filled_part(image: np.ndarray, part: Part, recipe: Recipe) -> Part | None:
    """The part without edges that are air: the network's window ends above it.

    Args:
        image: (size, size, 3), what a network sees of a slice.
        part: of it.
        recipe: of the network.

    Returns:
        None where nothing is left.
    """
    seen = np.any(image[part], axis=-1)
    if not seen.any():
        return None
    _, *box = bounding_box(seen[None])
    box = [slice(o.start + i.start, o.start + i.stop) for o, i in zip(part, box, strict=True)]
    return part_around(box, recipe.air_margin_px, part, recipe)


def _on_scan(
    values: np.ndarray, square: Square, shape: tuple[int, int, int], margin: int
) -> Probability | None:
    """Network output as a box on the scan's grid.

    Args:
        values: (z, size, size) uint8.
        square: what the network saw.
        shape: of the scan.
        margin: pixels of the slice around what is not 0, where it has as many.

    Returns:
        None where all is 0.
    """
    outline = from_network(values.max(axis=0), square, shape[1:])
    if not outline.any():
        return None
    z = np.flatnonzero(values.any(axis=(1, 2)))
    first, last = int(z[0]), int(z[-1]) + 1
    _, y, x = (
        slice(max(axis.start - margin, 0), min(axis.stop + margin, end))
        for axis, end in zip(bounding_box(outline[None] > 0), shape, strict=True)
    )
    box = np.empty((last - first, y.stop - y.start, x.stop - x.start), np.uint8)
    for k in range(first, last):
        box[k - first] = from_network(values[k], square, shape[1:])[y, x]
    return Probability(box, (first, y.start, x.start))


def _tumor_steps(
    volume: Volume, engine: Engine, labels: np.ndarray, liver: Probability, reach: int
) -> Generator[Step, None, tuple[Probability, int]]:
    """Yields Steps; returns the tumor network's Probability and how many of its tumors were fluid.

    The Probability is of the liver's box, and 0 far from a liver.

    Args:
        volume: the scan.
        engine: of both networks.
        labels: (z, y, x) uint8, the liver.
        liver: of which the labels are made.
        reach: pixels that a tumor may lie outside the liver.
    """
    recipe = engine.recipe
    threshold = level(recipe.tumor_threshold)
    inside = liver.values >= level(recipe.liver_threshold)
    z, y, x = liver.corner
    square = tumor_square(inside, volume.spacing, recipe).moved(y, x)
    window_hu = tumor_window(volume.hu[liver.box][inside], recipe)
    images = NetworkInput(volume, square, recipe, window_hu)
    values = np.zeros_like(liver.values)
    within_reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    slices = np.flatnonzero(inside.any(axis=(1, 2))) + z
    scale, everything = recipe.size / square.side, whole_grid(recipe)

    def liver_part(k: int) -> Part:
        _, rows, columns = bounding_box(inside[k - z][None])
        box = [
            slice((axis.start + corner) * scale, (axis.stop + corner) * scale)
            for axis, corner in ((rows, y - square.y), (columns, x - square.x))
        ]
        return part_around(box, recipe.liver_margin_px, everything, recipe)

    done = 0
    for batch, outputs in _predict(engine, "tumor", images, slices, slices.mean(), liver_part):
        for k, output in zip(batch - z, outputs, strict=True):
            on_scan = from_network(output, square, volume.shape[1:])
            values[k] = on_scan[liver.box[1:]] * cv2.dilate(inside[k].view(np.uint8), within_reach)
        done += len(batch)
        preliminary = labels[batch]
        preliminary[:, *liver.box[1:]][values[batch - z] >= threshold] = TUMOR
        yield Step(TUMOR_STAGE, done, len(slices), tuple(batch.tolist()), preliminary)
    fluid = clean_tumors(values, liver.box, volume, recipe)
    return Probability(values, liver.corner), fluid
