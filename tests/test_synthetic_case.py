"""Synthetic cases: the same for everybody who asks for the same, and as hard as asked for."""

import numpy as np
import pytest

from liverseg import phantom
from liverseg.page.synthetic_case import CONTRASTS_HU, SIZES_MM, SyntheticCase
from liverseg.scores.measurements import measure

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Phantoms that are made quickly."""
    make = phantom.make_phantom
    monkeypatch.setattr(
        phantom, "make_phantom", lambda *of, **how: make(*of, shape=(50, 128, 128), **how)
    )


def test_the_same_case_is_the_same_scan_with_the_same_tumors():
    once, again = (
        SyntheticCase(3, "small", "faint").make(),
        SyntheticCase(3, "small", "faint").make(),
    )
    np.testing.assert_array_equal(once[0].hu, again[0].hu)
    np.testing.assert_array_equal(once[1].labels, again[1].labels)
    assert once[0].source.kind == "dicom"


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("contrast", ["clear", "faint"])
def test_tumors_are_as_large_and_as_dark_as_asked_for(size, contrast):
    volume, truth = SyntheticCase(1, size, contrast).make()
    found = measure(truth, volume)
    assert found.lesions
    voxel = 3.0
    for lesion in found.lesions:
        assert lesion.long_axis_mm < SIZES_MM[size][1] + 2 * voxel
        assert size == "small" or lesion.long_axis_mm > 0.6 * SIZES_MM[size][0]
    darker = found.lesions[0].hu_mean - found.liver_hu_mean
    assert (darker < -32) == (contrast == "clear")
    assert darker < CONTRASTS_HU["faint"][1] / 2


@pytest.mark.parametrize("wrong", [(-1,), (1, "huge"), (1, "any", "none")])
def test_there_is_no_other_case(wrong):
    with pytest.raises(ValueError, match="no synthetic case"):
        SyntheticCase(*wrong)
