"""How alike two engines' masks are, on masks whose overlap is known."""

import numpy as np
import pytest

from liverseg.volume import LIVER, TUMOR, Segmentation
from tests.benchmarks.agreement import agreement


def marked(*places: tuple[slice, slice, slice]) -> Segmentation:
    labels = np.full((8, 40, 40), LIVER, np.uint8)
    for place in places:
        labels[place] = TUMOR
    return Segmentation(labels)


LARGE = (slice(0, 8), slice(0, 10), slice(0, 10))
PART = (slice(0, 8), slice(0, 10), slice(0, 5))
SMALL = (slice(0, 1), slice(20, 22), slice(20, 22))


def test_each_place_that_either_engine_marks_is_compared_by_itself():
    found = agreement(marked(LARGE, SMALL), marked(PART), voxel_ml=0.001)
    assert found["liver"] == 1
    assert found["tumor"] == pytest.approx(2 * 400 / (804 + 400))
    large, small = found["tumors"]
    assert large == {"mm": pytest.approx((6 / np.pi * 800) ** (1 / 3), abs=0.1), "dice": 2 / 3}
    assert (small["mm"], small["dice"]) == (pytest.approx(2, abs=0.1), 0)


def test_without_a_spacing_tumors_have_no_size():
    found = agreement(marked(LARGE), marked(LARGE), voxel_ml=None)
    assert (found["tumor"], found["tumors"]) == (1, [])


def test_where_neither_marks_a_tumor_nothing_is_compared():
    found = agreement(marked(), marked(), voxel_ml=0.001)
    assert (found["tumor"], found["tumors"]) == (None, [])
