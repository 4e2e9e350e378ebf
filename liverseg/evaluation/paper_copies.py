"""The slices that the paper trains on: copies, flipped and turned, of each slice with tumors.

Apart from the protocol, so that the processes that draw them import no network library.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from ..network.preprocess import to_network, whole_slice
from ..network.recipe import Recipe
from ..training.augment import affine_matrix, warp
from ..training.labelled_scan import UNANNOTATED, LabelledScan
from ..training.samples import Sample
from ..volume import BACKGROUND, TUMOR

DEGREES = range(0, 360, 10)
HELD_OUT = 0.2  # of the copies


class Copy(NamedTuple):
    """A slice turned and perhaps flipped."""

    case: LabelledScan
    z: int
    degrees: int
    flipped: bool


def make_copies(cases: Sequence[LabelledScan]) -> list[Copy]:
    """Every slice with tumors at every tenth degree, every second one of them flipped."""
    return [
        Copy(case, int(z), degrees, flipped=bool(k % 2))
        for case in cases
        for z in np.flatnonzero((case.labels == TUMOR).any(axis=(1, 2)))
        if not (case.labels[z] == UNANNOTATED).any()
        for k, degrees in enumerate(DEGREES)
    ]


def split_copies(copies: list[Copy], seed: int) -> tuple[list[Copy], list[Copy]]:
    """What is learned and what is held out: by copy, at random, whoever the patient is."""
    order = np.random.default_rng(seed).permutation(len(copies))
    held_out = round(HELD_OUT * len(copies))
    return [copies[k] for k in order[held_out:]], [copies[k] for k in order[:held_out]]


def render(copy: Copy, network: str, recipe: Recipe) -> Sample:
    """A copy as input: for the tumor network multiplied by the true liver."""
    labels = copy.case.labels[copy.z]
    square = whole_slice(labels.shape)
    image = to_network(copy.case.hu[copy.z], square, recipe.size, recipe.window_hu)
    liver, tumor = (
        cv2.resize(mask.astype(np.float32), image.shape, interpolation=cv2.INTER_AREA)
        for mask in (labels != BACKGROUND, labels == TUMOR)
    )
    if network == "tumor":
        image = image * (liver > 0.5)
    middle = (recipe.size - 1) / 2
    matrix = affine_matrix((middle, middle), recipe.size, 1.0, copy.degrees)
    mask = liver if network == "liver" else tumor
    image, mask = warp(image[..., None], mask, matrix, recipe.size, None)
    image = image.reshape(mask.shape)
    if copy.flipped:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return Sample(np.stack([image] * 3, -1), mask, np.ones(mask.shape, np.float32))


class CopySamples:
    """Copies at random."""

    def __init__(self, copies: list[Copy], network: str, recipe: Recipe):
        self._copies, self._network, self._recipe = copies, network, recipe

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """See `Samples.draw`; the size is the recipe's."""
        copy = self._copies[rng.integers(len(self._copies))]
        return render(copy, self._network, replace(self._recipe, size=size))
