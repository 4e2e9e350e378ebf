"""The paper's protocol on the same network, to show by how much it flatters.

Kakroo and Mansotra, "Automatic Segmentation of liver Tumor using Deep Learning": slices with
tumors are equalized, flipped, turned every 10 degrees and only then split, so that copies of one
slice are on both sides; the tumor network's input is multiplied by the true liver; Dice is soft,
over a batch.
The networks that are trained so are then scored on patients they have never seen.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from keras import ops

from ..model import Tensor
from ..network.preprocess import Square, from_network, to_network, whole_slice
from ..network.recipe import Recipe
from ..scores.metrics import dice_of_some
from ..training import fingerprint
from ..training.labelled_scan import LabelledScan
from ..training.quick_dice import BATCH, Model, outputs
from ..training.samples import is_picture
from ..training.train import Run, Stage
from .input_change import InputChange, repeat_slice
from .paper_copies import DEGREES, Copy, CopySamples, make_copies, render, split_copies

REPORTED = {"liver": 0.9776, "tumor": 0.8815}  # the paper's validation Dice, for comparison
METAL_HU, WINDOW_HU = 1200, (-100, 400)
SCORED = 400  # copies, drawn at random


def compare_protocols(
    split: dict[str, list[LabelledScan]], folder: Path, recipe: Recipe, stage: Stage
) -> dict[str, dict]:
    """Trains both networks as the paper did, and scores them as the paper did and as liverseg does.

    Args:
        split: by patient; copies are made of "train", and "val" are the patients never seen.
        folder: for checkpoints.
        recipe: for the networks' filters and window.
        stage: of each network, and its input's size.

    Returns:
        See `protocol_means`.
    """
    return protocol_means(protocol_values(split, folder, recipe, stage))


def protocol_means(values: dict[str, dict]) -> dict[str, dict]:
    """What `protocol_values` found, in one number each.

    Returns:
        By network: "reported", the paper's number; "copies", Dice over batches of held-out copies
        of the slices that were trained on; "never_seen", the same measure on copies of slices of
        other patients; "whole_scans", the mean Dice of their whole masks, where the tumor network
        is given the predicted liver; "slices", how many were copied.
    """
    return {
        network: {
            "reported": REPORTED[network],
            **{key: float(np.mean(found[key])) for key in ("copies", "never_seen", "whole_scans")},
            "slices": found["slices"],
        }
        for network, found in values.items()
    }


def protocol_values(
    split: dict[str, list[LabelledScan]], folder: Path, recipe: Recipe, stage: Stage
) -> dict[str, dict]:
    """As `compare_protocols`, with the values of all batches and scans in place of their means."""
    recipe = replace(recipe, size=stage.size)
    scans = {side: [c for c in split[side] if not is_picture(c)] for side in ("train", "val")}
    paper = {side: [equalize(case, recipe) for case in scans[side]] for side in scans}
    learned, held_out = split_copies(make_copies(paper["train"]), stage.seed)
    others, _ = split_copies(make_copies(paper["val"]), stage.seed)
    made_of = {"scans": fingerprint.of_scans(paper["train"]), "loss": paper_loss.__name__}
    values, models = {}, {}
    for network in ("liver", "tumor"):
        run = Run(network, stage, folder / network, recipe, loss=paper_loss, made_of=made_of)
        run.train(CopySamples(learned, network, recipe), [])
        run.model.set_weights(run.average)
        models[network] = run.model
        values[network] = {
            "copies": batch_dice(run.model, held_out[:SCORED], network, recipe),
            "never_seen": batch_dice(run.model, others[:SCORED], network, recipe),
            "whole_scans": _whole_scans(models, network, paper["val"], recipe),
            "slices": len(learned + held_out) // len(DEGREES),
        }
    return values


# --- the paper's input --------------------------------------------------------------------------


def equalize(case: LabelledScan, recipe: Recipe) -> LabelledScan:
    """A case whose slices are equalized as the paper's, spread over the recipe's window.

    Values above 1200 become 0, [-100, 400] HU is kept and stretched to 8 bit, and the histogram of
    the whole slice is equalized.
    """
    low, high = recipe.window_hu
    gray = np.stack([_equalized(slice_hu) for slice_hu in case.hu])
    return replace(case, hu=np.rint(low + gray * ((high - low) / 255)).astype(np.int16))


def _equalized(hu: np.ndarray) -> np.ndarray:
    kept = np.clip(np.where(hu > METAL_HU, 0, hu), *WINDOW_HU).astype(np.float32)
    gray = np.empty(kept.shape, np.uint8)
    return cv2.equalizeHist(cv2.normalize(kept, gray, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U))


class ModelWithChangedInput:
    """A network that sees its input changed, for `validation.outputs`."""

    def __init__(self, model: Model, image: InputChange):
        self._model, self._image = model, image

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """See `keras.Model.predict_on_batch`."""
        return self._model.predict_on_batch(self._image(images))


# --- its measure, and liverseg's ----------------------------------------------------------------


def soft_dice(truth: Tensor, probability: Tensor) -> Tensor:
    """The paper's Dice: soft, over the whole batch, smoothing 1."""
    return (2 * ops.sum(truth * probability) + 1) / (ops.sum(truth) + ops.sum(probability) + 1)


def paper_loss(target: Tensor, probability: Tensor) -> Tensor:
    """1 - soft Dice; arguments as for the losses of `make_loss`."""
    return 1 - soft_dice(target[..., :1], probability)


def batch_dice(model: Model, copies: list[Copy], network: str, recipe: Recipe) -> list[float]:
    """The paper's Dice of each batch of 8 copies."""
    scores = []
    for first in range(0, len(copies), BATCH):
        samples = [render(copy, network, recipe) for copy in copies[first : first + BATCH]]
        found = model.predict_on_batch(np.stack([sample.image for sample in samples]))
        truth = np.stack([sample.mask for sample in samples]).astype(np.float32)
        scores.append(float(soft_dice(truth, found[..., 0])))
    return scores


def _whole_scans(
    models: dict[str, Model], network: str, cases: list[LabelledScan], recipe: Recipe
) -> list[float]:
    """Dice of the masks of whole scans: one number a scan, nothing true in the input."""
    if network == "tumor":
        cases = [_masked(case, _liver(models["liver"], case, recipe), recipe) for case in cases]
    scores = []
    for case in cases:
        model = ModelWithChangedInput(models[network], repeat_slice)
        probability, truth, _ = outputs(model, network, case, recipe, paper_view)
        if truth.any():
            scores.append(dice_of_some(probability >= 0.5, truth))
    return scores


def _liver(model: Model, case: LabelledScan, recipe: Recipe) -> np.ndarray:
    """(z, y, x) bool, as the liver network sees it."""
    (square, window_hu), found = paper_view(case, recipe), np.empty(case.labels.shape, bool)
    for z, hu in enumerate(case.hu):
        image = np.stack([to_network(hu, square, recipe.size, window_hu)] * 3, -1)[None]
        probability = model.predict_on_batch(image)[0, ..., 0]
        found[z] = from_network(probability, square, hu.shape) >= 0.5
    return found


def _masked(case: LabelledScan, liver: np.ndarray, recipe: Recipe) -> LabelledScan:
    return replace(case, hu=np.where(liver, case.hu, np.int16(recipe.window_hu[0])))


def paper_view(case: LabelledScan, recipe: Recipe) -> tuple[Square, tuple[int, int]]:
    """All of a slice, the window for all alike: see `samples.tumor_view`."""
    return whole_slice(case.hu.shape[1:]), recipe.window_hu
