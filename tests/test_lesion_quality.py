"""Tumors one by one, and surfaces within a tolerance, on masks whose scores are known by hand."""

import sys

import numpy as np
import pytest

from liverseg.scores.findings import find
from liverseg.volume import Segmentation, Spacing, Volume
from liverseg.writing.tables import further_rows

SHAPE, SPACING = (4, 40, 60), Spacing(2, 1, 1)


def scored(found: list[tuple], true: list[tuple], spacing: Spacing | None = SPACING):
    """Of boxes (y0, y1, x0, x1) of tumor on slices 1 and 2, in a liver that is everywhere."""

    def labels(boxes):
        array = np.ones(SHAPE, np.uint8)
        for y0, y1, x0, x1 in boxes:
            array[1:3, y0:y1, x0:x1] = 2
        return Segmentation(array)

    volume = Volume(np.full(SHAPE, 50, np.int16), spacing)
    return find(volume, labels(found), "weights", labels(true), counts_false=True)


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


def ball(radius_mm):
    """A ball in the middle of voxels of 1 mm."""
    z, y, x = np.mgrid[-20:21, -20:21, -20:21]
    return Segmentation((z**2 + y**2 + x**2 <= radius_mm**2).astype(np.uint8))


def test_surface_dice_is_the_share_of_the_surfaces_within_2_or_3_mm():
    volume = Volume(np.full((41, 41, 41), 50, np.int16), Spacing(1, 1, 1))
    liver, tumor = find(volume, ball(10), "", ball(12.5)).surface_dice
    assert liver.nsd_2mm < 0.5
    assert liver.nsd_3mm == 1
    assert tumor.nsd_2mm is tumor.nsd_3mm is None
    nothing = Segmentation(np.zeros((41, 41, 41), np.uint8))
    assert find(volume, ball(10), "", nothing).surface_dice[0].nsd_2mm is None


def test_a_single_slice_has_the_surface_dice_of_its_contours():
    volume = Volume(np.full((1, 41, 41), 50, np.int16), Spacing(None, 1, 1))
    one, other = (Segmentation(ball(radius).labels[20:21]) for radius in (10, 12.5))
    assert find(volume, one, "", other).surface_dice[0].nsd_3mm == 1


def test_without_its_library_surface_dice_is_unknown_and_in_no_table(monkeypatch):
    monkeypatch.setitem(sys.modules, "surface_distance", None)
    volume = Volume(np.full((41, 41, 41), 50, np.int16), Spacing(1, 1, 1))
    findings = find(volume, ball(10), "", ball(11))
    assert findings.surface_dice is None
    assert findings.scores.liver.hd95_mm > 0
    assert not [row.key for row in further_rows(findings) if row.key.startswith("nsd")]
