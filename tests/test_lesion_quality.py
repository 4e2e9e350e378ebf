"""Tumors one by one, and surfaces within a tolerance, on masks whose scores are known by hand."""

import numpy as np
import pytest

from liverseg.scores.findings import find
from liverseg.volume import Segmentation, Spacing, Volume

SHAPE, SPACING = (4, 40, 60), Spacing(2, 1, 1)


def scored(found: list[tuple], true: list[tuple], spacing: Spacing | None = SPACING):
    """Of boxes (y0, y1, x0, x1) of tumor on slices 1 and 2, in a liver that is everywhere."""

    def labels(boxes):
        array = np.ones(SHAPE, np.uint8)
        for y0, y1, x0, x1 in boxes:
            array[1:3, y0:y1, x0:x1] = 2
        return Segmentation(array)

    volume = Volume(np.full(SHAPE, 50, np.int16), spacing)
    return find(volume, labels(found), "weights", labels(true))


def test_one_pair_one_missed_and_one_false():
    same, missed, false = (0, 4, 0, 8), (10, 14, 0, 4), (20, 24, 0, 4)
    quality = scored([(0, 4, 0, 6), false], [same, missed]).quality
    iou = 24 / 32
    assert quality.panoptic_quality == pytest.approx(iou / (1 + 2 / 2))
    assert quality.lesion_dice == pytest.approx(2 * iou / (1 + iou) / 3)


def test_an_overlap_of_half_or_less_is_no_pair():
    assert scored([(0, 4, 0, 4)], [(0, 4, 0, 8)]).quality.panoptic_quality == 0
    assert scored([(0, 4, 0, 5)], [(0, 4, 0, 8)]).quality.panoptic_quality == pytest.approx(5 / 8)


def test_equal_masks_have_1_and_no_tumors_have_none():
    assert scored([(0, 4, 0, 4)], [(0, 4, 0, 4)]).quality.panoptic_quality == 1
    quality = scored([], []).quality
    assert set(vars(quality).values()) == {None}


def test_sensitivity_is_counted_by_the_long_axis_of_the_true_tumor():
    small, middle, at_20, large = (0, 2, 0, 5), (6, 8, 0, 12), (12, 13, 0, 20), (20, 24, 0, 30)
    true = [small, middle, at_20, large]
    quality = scored([middle, (20, 24, 29, 30)], true).quality
    assert quality.sensitivity_below_10mm == 0
    assert quality.sensitivity_10_to_20mm == pytest.approx(1 / 2)
    assert quality.sensitivity_above_20mm == 1


def test_without_millimeters_nothing_is_counted_by_size():
    quality = scored([(0, 4, 0, 4)], [(0, 4, 0, 4)], spacing=None).quality
    assert quality.panoptic_quality == 1
    assert quality.sensitivity_below_10mm is quality.sensitivity_above_20mm is None


def test_surfaces_within_a_tolerance_count_and_those_at_it_too():
    """A plate of 2 × 20 × 20 mm seen twice, once moved by 2 mm along y."""

    def plate(y):
        labels = np.zeros(SHAPE, np.uint8)
        labels[1, y : y + 20, 10:30] = 1
        return Segmentation(labels)

    volume = Volume(np.full(SHAPE, 50, np.int16), Spacing(2, 1, 1))
    liver = find(volume, plate(4), "", plate(6)).scores.liver
    assert liver.nsd_2mm == liver.nsd_3mm == 1
    liver = find(volume, plate(4), "", plate(7)).scores.liver
    assert liver.nsd_2mm == pytest.approx(1 - 20 / 400)
    assert liver.nsd_3mm == 1
    assert (
        find(volume, plate(4), "", Segmentation(np.zeros(SHAPE, np.uint8))).scores.liver.nsd_2mm
        is None
    )
