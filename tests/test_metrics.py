"""Scores on masks small enough to be worked out on paper."""

import json
import tracemalloc

import numpy as np
import pytest

from liverseg.scores.measurements import measure
from liverseg.scores.metrics import add_surfaces, compare
from liverseg.volume import Segmentation, Spacing, Volume


def scan(shape, spacing=None) -> Volume:
    return Volume(np.zeros(shape, np.int16), spacing)


def labels(shape, **boxes) -> Segmentation:
    """Boxes ((z0, z1), (y0, y1), (x0, x1)) of liver and tumor on an empty grid."""
    array = np.zeros(shape, np.uint8)
    for name, value in (("liver", 1), ("tumor", 2), ("tumor2", 2), ("tumor3", 2)):
        if name in boxes:
            array[tuple(slice(*axis) for axis in boxes[name])] = value
    return Segmentation(array)


# Truth: a liver of 4 pixels in a row. Prediction: moved by one pixel: TP 3, FP 1, FN 1, TN 5.
ROW = (1, 1, 10)
ROW_TRUTH = labels(ROW, liver=((0, 1), (0, 1), (2, 6)))
ROW_MOVED = labels(ROW, liver=((0, 1), (0, 1), (3, 7)))


def test_overlap_of_a_row_moved_by_one_pixel():
    liver = compare(ROW_MOVED, ROW_TRUTH, scan(ROW)).liver
    assert liver.dice == liver.f1 == 6 / 8
    assert liver.iou == 3 / 5
    assert (liver.precision, liver.recall) == (3 / 4, 3 / 4)
    assert liver.accuracy == 8 / 10
    assert liver.voe == pytest.approx(2 / 5)
    assert liver.rvd == 0


def test_too_small_a_prediction_has_a_negative_volume_difference():
    half = labels(ROW, liver=((0, 1), (0, 1), (2, 4)))
    assert compare(half, ROW_TRUTH, scan(ROW)).liver.rvd == -0.5


def test_the_tumor_is_part_of_the_liver_but_not_the_other_way_round():
    truth = labels(ROW, liver=((0, 1), (0, 1), (0, 8)), tumor=((0, 1), (0, 1), (2, 4)))
    no_tumor = labels(ROW, liver=((0, 1), (0, 1), (0, 8)))
    scores = compare(no_tumor, truth, scan(ROW))
    assert scores.liver.dice == 1
    assert (scores.tumor.dice, scores.tumor.recall) == (0, 0)
    assert scores.tumor.precision is None


def test_two_empty_masks_have_no_dice():
    empty = labels(ROW)
    liver = compare(empty, empty, scan(ROW, Spacing(1, 1, 1))).liver
    assert liver.dice is liver.iou is liver.precision is liver.recall is liver.f1 is None
    assert liver.voe is liver.rvd is liver.assd_mm is liver.hd95_mm is liver.max_surface_mm is None
    assert liver.accuracy == 1  # every voxel is background in both, which is not undefined


@pytest.mark.parametrize("prediction, truth", [(ROW_TRUTH, labels(ROW)), (labels(ROW), ROW_TRUTH)])
def test_one_empty_mask_has_dice_0_and_no_surface_distance(prediction, truth):
    liver = compare(prediction, truth, scan(ROW, Spacing(1, 1, 1))).liver
    assert (liver.dice, liver.iou, liver.voe) == (0, 0, 1)
    assert liver.assd_mm is liver.hd95_mm is liver.max_surface_mm is None


def test_each_slice_is_scored_by_itself_and_an_empty_one_has_no_dice():
    shape = (3, 1, 10)
    truth = labels(shape, liver=((0, 2), (0, 1), (2, 6)))
    prediction = labels(shape, liver=((1, 2), (0, 1), (3, 7)))
    slices = compare(prediction, truth, scan(shape)).slices
    assert [s.z for s in slices] == [0, 1, 2]
    assert [s.liver.dice for s in slices] == [0, 6 / 8, None]
    assert [s.tumor.dice for s in slices] == [None, None, None]


def test_surface_distances_follow_the_spacing_of_each_axis():
    shape = (12, 3, 3)
    truth = labels(shape, liver=((2, 3), (1, 2), (1, 2)))
    above = labels(shape, liver=((7, 8), (1, 2), (1, 2)))
    liver = compare(above, truth, scan(shape, Spacing(2.5, 0.7, 0.7))).liver
    assert liver.assd_mm == liver.hd95_mm == liver.max_surface_mm == pytest.approx(12.5)


def test_surface_distances_of_a_row_moved_by_one_pixel():
    # A 1-pixel-high row is all contour: 3 of 4 pixels touch, one is 1 pixel (2 mm) away, each way.
    liver = compare(ROW_MOVED, ROW_TRUTH, scan(ROW, Spacing(None, 1, 2))).liver
    assert liver.assd_mm == pytest.approx(2 / 4)
    assert liver.max_surface_mm == pytest.approx(2)
    assert liver.hd95_mm == pytest.approx(np.percentile([0, 0, 0, 2], 95))


def test_a_cube_inside_a_cube_is_one_voxel_away_on_average_or_more():
    shape = (9, 9, 9)
    outer = labels(shape, liver=((1, 8), (1, 8), (1, 8)))
    inner = labels(shape, liver=((2, 7), (2, 7), (2, 7)))
    liver = compare(inner, outer, scan(shape, Spacing(1, 1, 1))).liver
    # 98 surface voxels inside, all 1 mm away; of 218 outside 150 are on a face (1 mm), 60 on an
    # edge (sqrt 2) and 8 are corners (sqrt 3).
    expected = (98 + 150 + 60 * 2**0.5 + 8 * 3**0.5) / (98 + 218)
    assert liver.assd_mm == pytest.approx(expected, rel=1e-5)
    assert liver.max_surface_mm == pytest.approx(3**0.5, rel=1e-5)


def test_a_mask_at_the_scans_edge_has_a_surface_there():
    truth = labels((1, 4, 4), liver=((0, 1), (0, 4), (0, 4)))
    smaller = labels((1, 4, 4), liver=((0, 1), (0, 4), (0, 3)))
    assert compare(smaller, truth, scan((1, 4, 4), Spacing(None, 1, 1))).liver.max_surface_mm == 1


@pytest.mark.parametrize("spacing", [None, Spacing(None, 1, 1)])
def test_slices_without_known_distances_have_no_surface_distance(spacing):
    shape = (2, 1, 10)
    row = labels(shape, liver=((0, 2), (0, 1), (2, 6)))
    liver = compare(row, row, scan(shape, spacing)).liver
    assert liver.dice == 1
    assert liver.assd_mm is None


def test_surfaces_can_be_added_later():
    volume = scan(ROW, Spacing(None, 1, 1))
    quick = compare(ROW_MOVED, ROW_TRUTH, volume, surfaces=False)
    assert quick.liver.assd_mm is None
    assert add_surfaces(quick, ROW_MOVED, ROW_TRUTH, volume) == compare(
        ROW_MOVED, ROW_TRUTH, volume
    )


LINE = (1, 1, 40)


def lesion_scores(prediction: str, truth: str):
    """Lesions on a line of 40 pixels, drawn as '..##..'."""

    def drawn(line):
        array = np.zeros(LINE, np.uint8)
        array[0, 0, [x for x, char in enumerate(line) if char == "#"]] = 2
        return Segmentation(array)

    return compare(drawn(prediction), drawn(truth), scan(LINE)).lesions


def statuses(lesions):
    return [lesion.status for lesion in lesions]


def test_a_lesion_is_detected_above_half_overlap_and_touched_below():
    lesions = lesion_scores(
        ".###......####......##",
        ".####.......####......",
    )
    # 3 of 4 shared: IoU 0.75; 2 of 6: IoU 1/3; the last has no counterpart.
    assert statuses(lesions.truth) == ["detected", "touched"]
    assert [m.voxels for m in lesions.predicted] == [4, 3, 2]
    assert statuses(lesions.predicted) == ["touched", "detected", "false"]
    assert [m.iou for m in lesions.predicted] == [pytest.approx(1 / 3), 0.75, 0]
    assert (lesions.precision, lesions.recall) == (1 / 3, 1 / 2)
    assert (lesions.precision_touched, lesions.recall_touched) == (2 / 3, 1)


def test_an_overlap_of_exactly_half_is_not_detected():
    assert lesion_scores("..##", "####").recall == 0


def test_one_prediction_over_two_lesions_merges_them():
    lesions = lesion_scores(
        "..##########..",
        "..#####.####..",
    )
    # Pair: 10 predicted, 5 + 4 true, 9 shared: IoU 0.9, and both lesions of the truth count.
    assert statuses(lesions.truth) == ["detected", "detected"]
    assert lesions.predicted[0].iou == 0.9
    assert (lesions.precision, lesions.recall) == (1, 1)


def test_two_predictions_on_one_lesion_are_merged():
    lesions = lesion_scores(
        "..####.###..",
        "..########..",
    )
    assert statuses(lesions.predicted) == ["detected", "detected"]
    assert lesions.truth[0].iou == 7 / 8


def test_a_lesion_between_two_predictions_goes_to_the_greater_overlap():
    lesions = lesion_scores(
        "#####.#########.....",
        "...###################",
    )
    # Both predictions touch the one lesion and are merged: 2 + 9 shared of 14 + 19 - 11.
    assert lesions.truth[0].iou == 11 / 22
    lesions = lesion_scores(
        "..#########..",
        "####.####.##.",
    )
    # The prediction merges all three (2 + 4 + 1 shared of 10 true and 9 predicted).
    assert {m.iou for m in lesions.truth} == {7 / 12}


def test_no_lesions_anywhere_means_no_precision_and_no_recall():
    lesions = lesion_scores("", "")
    assert lesions.precision is lesions.recall is lesions.recall_touched is None
    assert lesions.predicted == lesions.truth == ()


def test_false_and_missed_lesions():
    assert lesion_scores("##", "").precision == 0
    assert lesion_scores("##", "").recall is None
    assert statuses(lesion_scores("", "##").truth) == ["missed"]


def test_lesions_that_touch_only_at_an_edge_are_two():
    array = np.zeros((1, 4, 4), np.uint8)
    array[0, 0, 0] = array[0, 1, 1] = 2
    both = Segmentation(array)
    assert len(compare(both, both, scan((1, 4, 4))).lesions.truth) == 2


def test_scores_survive_json_with_null_for_undefined():
    scores = compare(ROW_MOVED, ROW_TRUTH, scan(ROW, Spacing(None, 1, 1)))
    stored = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert stored["liver"]["dice"] == 0.75
    assert stored["tumor"]["dice"] is None
    assert stored["slices"][0]["liver"]["iou"] == 0.6


def test_masks_of_different_shapes_are_a_programmers_error():
    with pytest.raises(ValueError, match="one shape"):
        compare(ROW_TRUTH, labels((1, 1, 9)), scan(ROW))


def test_scoring_and_measuring_make_no_copy_of_a_scans_size():
    shape = (32, 256, 256)
    found = labels(shape, liver=((8, 16), (40, 90), (40, 90)), tumor=((9, 12), (50, 60), (50, 60)))
    true = labels(shape, liver=((8, 16), (42, 92), (40, 90)), tumor=((9, 12), (52, 60), (50, 60)))
    volume = scan(shape, Spacing(2, 1, 1))
    compare(found, true, volume)  # imports are not counted
    tracemalloc.start()
    measure(found, volume)
    compare(found, true, volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.labels.nbytes / 2
