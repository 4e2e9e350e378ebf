"""Samples are drawn fast, and are what they were when they were drawn slowly."""

import copy
import json

import cv2
import numpy as np
import pytest

from liverseg.network.preprocess import Square
from liverseg.training.augment import affine_matrix, random_bend, warp
from liverseg.training.drawn_lesions import Slab, _lesions
from liverseg.training.samples import _seen
from tests.benchmarks.samples import STATISTICS, differences, phantom_statistics


@pytest.fixture(scope="module")
def before():
    """Statistics of what dcb49d7 drew, had it had the noise of lone slices of 213cffd."""
    return json.loads(STATISTICS.read_text(encoding="utf-8"))


def test_samples_are_what_they_were_before_they_were_drawn_fast(before):
    found = phantom_statistics()
    for network, wanted in before.items():
        assert not differences(found[network], wanted)


@pytest.mark.parametrize("name", ["mean", "sd", "histogram", "mask", "weight", "lesions"])
def test_other_samples_would_be_told(before, name):
    changed = copy.deepcopy(before["tumor"])
    changed[name] = (np.array(changed[name]) * 1.01).tolist()
    (line,) = differences(changed, before["tumor"])
    assert line.startswith(name)


def test_a_lesion_is_the_same_in_its_box_as_in_the_whole_slice(monkeypatch):
    liver = cv2.circle(np.zeros((96, 120), np.uint8), (50, 40), 36, 1, cv2.FILLED).view(bool)
    places, slab = np.flatnonzero(liver), Slab(0.9, 3.0, (-40, 160))

    def drawn(kind: int) -> np.ndarray:
        found = np.zeros((*liver.shape, 3), bool)
        for seed in range(12):
            for lesion in _lesions(np.random.default_rng(seed), kind, places, liver, slab):
                found[lesion.box] |= lesion.masks
        return found

    boxed = [drawn(kind) for kind in range(4)]
    whole = "liverseg.training.drawn_lesions._box"
    monkeypatch.setattr(whole, lambda *_: (slice(0, 96), slice(0, 120)))
    for kind in range(4):
        assert boxed[kind].any()
        np.testing.assert_array_equal(boxed[kind], drawn(kind))


def test_a_moved_part_of_a_slice_is_that_part_of_the_moved_slice():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.random((90, 130), np.float32), (0, 0), 3)[..., None].repeat(3, -1)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        center = rng.uniform(-20, 150), rng.uniform(-20, 110)  # some lie outside
        matrix = affine_matrix(center, 48, rng.uniform(0.5, 1.5), rng.uniform(-40, 40))
        bend = random_bend(rng, 48, 6.0) if seed % 2 else None
        whole, _ = warp(image, image, matrix, 48, bend)
        y, x = _seen(matrix, 48, bend, image.shape[:2])
        assert y.start < y.stop and x.start < x.stop
        matrix[:, 2] += matrix[:, :2] @ (x.start, y.start)
        part, _ = warp(image[y, x], image[y, x], matrix, 48, bend)
        np.testing.assert_allclose(part, whole, atol=2e-3)


def test_a_whole_square_slice_is_read_as_any_other_square_is():
    from liverseg.network.preprocess import to_network, whole_slice

    hu = np.random.default_rng(0).integers(-200, 300, (60, 60)).astype(np.int16)
    before = hu.copy()
    whole = to_network(hu, whole_slice(hu.shape), 32, (-40, 160))
    padded = np.pad(hu, ((0, 4), (0, 4)), constant_values=-1000)
    np.testing.assert_array_equal(to_network(padded, Square(0, 0, 60), 32, (-40, 160)), whole)
    np.testing.assert_array_equal(hu, before)
