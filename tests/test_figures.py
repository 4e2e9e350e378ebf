import json

import numpy as np
import pytest

from liverseg.page.figures import missed_lesions, slice_curves, surface, surfaces
from liverseg.scores.measurements import measure
from liverseg.scores.metrics import compare
from liverseg.volume import LIVER, TUMOR, Segmentation, Spacing, Volume
from liverseg.writing import colors

SPACING = Spacing(2.0, 1.0, 1.0)


def a_case(spacing=SPACING):
    """A 40 mm cube of liver with a tumor of 10 mm in it."""
    labels = np.zeros((24, 48, 48), np.uint8)
    labels[2:22, 4:44, 4:44] = LIVER
    labels[8:13, 10:20, 10:20] = TUMOR
    return Volume(np.zeros(labels.shape, np.int16), spacing), Segmentation(labels)


def traces(figure):
    return {trace["name"]: trace for trace in json.loads(figure.to_json())["data"]}


def test_the_curve_shows_areas_in_square_centimeters():
    volume, segmentation = a_case()
    figure = slice_curves(segmentation, measure(segmentation, volume))
    liver, tumor = figure.data
    assert liver.x[0] == 1 and liver.x[-1] == 24
    assert liver.y[10] == pytest.approx(16.0)
    assert tumor.y[10] == pytest.approx(1.0)
    assert liver.line.color == colors.LIVER


def test_the_curve_has_dice_only_where_it_is_defined():
    volume, segmentation = a_case()
    scores = compare(segmentation, segmentation, volume, surfaces=False)
    figure = slice_curves(segmentation, measure(segmentation, volume), scores)
    dice = figure.data[2]
    assert dice.name == "Liver, Dice"
    assert dice.y[0] is None and dice.y[10] == 1
    assert figure.layout.yaxis2.overlaying == "y"


def test_without_spacing_the_curve_counts_pixels():
    volume, segmentation = a_case(spacing=None)
    figure = slice_curves(segmentation, measure(segmentation, volume))
    assert figure.data[0].y[10] == 1600
    assert figure.layout.yaxis.title.text == "Area, px"


def test_the_surface_has_the_size_and_place_of_the_mask_in_mm():
    _, segmentation = a_case()
    vertices, faces = surface(segmentation.liver, SPACING, step_mm=2.0)
    assert faces.max() < len(vertices)
    # Voxels 2..21 of 2 mm and 4..43 of 1 mm: the surface lies half a voxel outside their centers.
    assert vertices.min(axis=0) == pytest.approx([3, 3.5, 3.5], abs=1.5)
    assert vertices.max(axis=0) == pytest.approx([43, 43.5, 43.5], abs=1.5)


def test_a_tumor_of_one_voxel_still_has_a_surface():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    _, faces = surface(mask, Spacing(1, 1, 1), step_mm=1.5)
    assert len(faces) > 0


def test_the_3d_figure_shows_liver_found_and_missed_tumors():
    volume, truth = a_case()
    labels = truth.labels.copy()
    labels[labels == TUMOR] = LIVER
    labels[14:16, 30:36, 30:36] = TUMOR
    found = traces(surfaces(Segmentation(labels), volume.spacing, truth))
    assert list(found) == ["Liver", "Tumors found", "Tumors missed"]
    assert found["Liver"]["opacity"] < 0.5
    assert found["Tumors missed"]["color"] == colors.FALSE_NEGATIVE


def test_a_flat_scan_is_as_wide_in_3d_as_any_other_and_in_true_proportion():
    labels = np.full((3, 40, 80), LIVER, np.uint8)
    figure = surfaces(Segmentation(labels), SPACING)
    ratio = figure.layout.scene.aspectratio
    (liver,) = figure.data
    sizes = [np.ptp(liver[axis]) for axis in "xyz"]
    np.testing.assert_allclose([ratio.x, ratio.y, ratio.z], np.divide(sizes, max(sizes)) * 1.15)


def test_the_3d_figure_is_not_mirrored():
    """x grows to the patient's left, y to the back, z to the head: a right-handed system."""
    volume, segmentation = a_case()
    tumor = surfaces(segmentation, volume.spacing).data[1]
    assert np.mean(tumor.x) == pytest.approx(14.5, abs=1)
    assert np.mean(tumor.y) == pytest.approx(14.5, abs=1)
    assert np.mean(tumor.z) == pytest.approx(20, abs=1)


def test_the_3d_figure_names_the_patients_sides():
    volume, segmentation = a_case()
    figure = surfaces(segmentation, volume.spacing)
    at = {one.text: one for one in figure.layout.scene.annotations}
    assert set(at) == set("RLAPHF")
    liver = figure.data[0]
    for axis, low, high in (("x", "R", "L"), ("y", "A", "P"), ("z", "F", "H")):
        assert at[low][axis] == pytest.approx(liver[axis].min())
        assert at[high][axis] == pytest.approx(liver[axis].max())


def test_a_tumor_that_is_touched_is_not_missed():
    true = np.zeros((1, 5, 9), bool)
    true[0, 1:3, 1:3] = true[0, 1:3, 6:8] = True
    found = np.zeros_like(true)
    found[0, 2, 2] = True
    missed = missed_lesions(found, true)
    assert missed[0, 1, 6] and not missed[0, 1, 1]


def test_tumors_that_touch_at_a_corner_are_two_as_in_the_table():
    """The found one has its own, so the other is missed: in the table, and so in the figure."""
    labels = np.full((3, 9, 9), LIVER, np.uint8)
    labels[1, 2:4, 2:4] = labels[1, 4:6, 4:6] = TUMOR
    truth = Segmentation(labels)
    found = np.full_like(labels, LIVER)
    found[1, 2:4, 2:4] = TUMOR
    scores = compare(Segmentation(found), truth, Volume(np.zeros((3, 9, 9), np.int16), SPACING))
    assert [match.status for match in scores.lesions.truth] == ["detected", "missed"]
    missed = missed_lesions(found == TUMOR, truth.tumor)
    assert missed.sum() == 4
    assert missed[1, 4:6, 4:6].all()
    assert "Tumors missed" in traces(surfaces(Segmentation(found), SPACING, truth))
