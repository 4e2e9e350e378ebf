"""Reliability worked out on a few voxels."""

import numpy as np
import pytest

from liverseg.evaluation.calibration import BINS, pool, reliability
from liverseg.volume import Probability

ALL = np.ones((1, 1, 6), bool)


def scan(values, truth, counted=ALL, corner=(0, 0, 0)) -> dict:
    probability = Probability(np.array([[values]], np.uint8), corner)
    return reliability(probability, np.array([[truth]], bool), counted)


def test_voxels_are_counted_by_what_was_said_of_them():
    found = scan([0, 25, 26, 127, 204, 255], [0, 0, 1, 1, 0, 1])
    assert found["voxels"] == [2, 1, 0, 0, 1, 0, 0, 0, 1, 1]
    assert found["true"] == [0, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert found["probability"][0] == pytest.approx(25 / 255)
    assert found["probability"][-1] == 1


def test_only_what_counts_and_lies_in_the_box_is_counted():
    counted = ALL.copy()
    counted[..., 3] = False
    found = scan([255, 255], [0, 0, 0, 0, 1, 0], counted, corner=(0, 0, 3))
    assert sum(found["voxels"]) == 1
    assert found["true"][-1] == 1


def test_pooled_scans_make_one_curve():
    # bin 10: said 1, true 3 of 4; bin 3: said 0.2, true 1 of 2
    one = scan([255, 255, 255, 51], [1, 1, 1, 1, 0, 0])
    two = scan([255, 51], [0, 0, 0, 0, 0, 0])
    found = pool([one, two])
    assert found["curve"] == [
        {"confidence": pytest.approx(0.2), "frequency": 0.5, "voxels": 2},
        {"confidence": 1.0, "frequency": 0.75, "voxels": 4},
    ]
    assert found["error"] == pytest.approx((2 * 0.3 + 4 * 0.25) / 6)
    assert found["largest_error"] == pytest.approx(0.3)


def test_a_network_that_means_what_it_says_has_no_error():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (20, 50, 50)).astype(np.uint8)
    truth = rng.random(values.shape) < values / 255
    found = pool([reliability(Probability(values, (0, 0, 0)), truth, np.ones_like(truth))])
    assert found["error"] < 0.01
    assert len(found["curve"]) == BINS


def test_nothing_found_is_no_error_of_zero():
    found = pool([reliability(None, ALL, ALL)])
    assert found == {"curve": [], "error": None, "largest_error": None} == pool([])
