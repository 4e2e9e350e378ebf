"""Volumes, diameters and densities of shapes whose answers are known."""

import json

import numpy as np
import pytest

from liverseg.scores.diameters import length_mm, long_axis, short_axis
from liverseg.scores.measurements import measure
from liverseg.volume import Segmentation, Spacing, Volume

SHAPE = (6, 20, 30)
SPACING = Spacing(2.5, 0.5, 0.8)


def case(spacing=SPACING, windowed=None):
    """A liver of 4x10x20 voxels at 110 HU with tumors of 2x4x6 (60 HU) and 1x1x1 (90 HU)."""
    hu = np.full(SHAPE, -1000, np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:5, 5:15, 5:25] = 1
    labels[2:4, 6:10, 7:13] = 2
    labels[4, 12, 20] = 2
    hu[labels == 1] = 110
    hu[labels == 2] = 60
    hu[4, 12, 20] = 90
    return Segmentation(labels), Volume(hu, spacing, windowed)


def test_volumes_are_voxels_times_their_size():
    found = measure(*case())
    assert found.liver_ml == pytest.approx(800 * 2.5 * 0.5 * 0.8 / 1000)
    assert found.tumor_ml == pytest.approx(49 / 1000)
    assert found.burden_percent == pytest.approx(100 * 49 / 800)


def test_the_livers_density_leaves_the_tumors_out():
    found = measure(*case())
    assert (found.liver_hu_mean, found.liver_hu_sd) == (110, 0)


def test_the_largest_lesion_comes_first_with_its_place_and_density():
    large, small = measure(*case()).lesions
    assert (large.number, large.voxels, large.first_slice, large.last_slice) == (1, 48, 2, 3)
    assert large.volume_ml == pytest.approx(0.048)
    assert large.centroid_zyx == (2.5, 7.5, 9.5)
    assert (large.hu_mean, large.hu_sd) == (60, 0)
    assert (small.number, small.voxels, small.centroid_zyx) == (2, 1, (4, 12, 20))
    assert small.hu_mean == 90


def test_a_single_voxel_is_as_long_as_its_longer_side():
    small = measure(*case()).lesions[1]
    assert small.long_axis_mm == pytest.approx(0.8)
    assert small.short_axis_mm == pytest.approx(0.5)


def test_areas_are_given_for_every_slice():
    found = measure(*case())
    assert found.liver_area_mm2 == pytest.approx([0, 80, 80, 80, 80, 0])
    assert found.tumor_area_mm2 == pytest.approx([0, 0, 9.6, 9.6, 0.4, 0])


def test_without_spacing_there_are_no_mm_but_the_axes_can_be_drawn():
    found = measure(*case(spacing=None))
    lesion = found.lesions[0]
    assert found.liver_ml is found.tumor_ml is found.liver_area_mm2 is None
    assert lesion.volume_ml is lesion.long_axis_mm is lesion.short_axis_mm is None
    assert found.burden_percent == pytest.approx(100 * 49 / 800)
    assert lesion.long_axis[0][0] == 2


def test_uneven_slices_have_areas_and_diameters_but_no_volume():
    found = measure(*case(spacing=Spacing(None, 0.5, 0.8)))
    assert found.liver_ml is found.lesions[0].volume_ml is None
    assert found.liver_area_mm2[1] == pytest.approx(80)
    assert found.lesions[0].long_axis_mm > 0


def test_a_pictures_gray_values_are_not_densities():
    found = measure(*case(spacing=None, windowed=(-160, 240)))
    assert found.liver_hu_mean is found.lesions[0].hu_mean is found.lesions[0].hu_sd is None


def test_an_empty_segmentation_has_no_burden_and_no_lesions():
    _, volume = case()
    found = measure(Segmentation(np.zeros(SHAPE, np.uint8)), volume)
    assert (found.liver_ml, found.tumor_ml) == (0, 0)
    assert found.burden_percent is found.liver_hu_mean is None
    assert found.lesions == ()


def test_measurements_survive_json():
    stored = json.loads(json.dumps(measure(*case()).to_dict(), allow_nan=False))
    assert stored["lesions"][0]["long_axis"][0][0] == 2


def test_another_shape_is_a_programmers_error():
    segmentation, _ = case()
    with pytest.raises(ValueError, match="shape"):
        measure(segmentation, Volume(np.zeros((2, 2, 2), np.int16)))


def disc(radius_px: float, side: int = 101) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    return y**2 + x**2 <= radius_px**2


def axes_mm(mask, pixel_mm):
    long = long_axis(mask, pixel_mm)
    return length_mm(long, pixel_mm), length_mm(short_axis(mask, long, pixel_mm), pixel_mm)


def test_a_row_of_pixels_is_as_long_as_its_pixels():
    row = np.zeros((3, 9), bool)
    row[1, 2:7] = True
    assert axes_mm(row, (0.7, 0.7)) == pytest.approx((3.5, 0.7))


def test_a_disc_has_its_diameter_in_both_directions():
    assert axes_mm(disc(40), (0.5, 0.5)) == pytest.approx((40, 40), abs=1)


def test_pixels_that_are_not_square_are_measured_in_mm():
    assert axes_mm(disc(40), (1.0, 0.5)) == pytest.approx((80, 40), abs=1)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 135])
def test_an_ellipse_has_its_axes_whichever_way_it_is_turned(degrees):
    y, x = np.mgrid[:121, :121] - 60
    turn = np.radians(degrees)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    ellipse = (along / 50) ** 2 + (across / 20) ** 2 <= 1
    assert axes_mm(ellipse, (1.0, 1.0)) == pytest.approx((100, 40), abs=2)


def test_the_short_axis_stays_inside_a_horseshoe():
    # Two arms 6 wide and 30 long with a gap of 18 between them, joined by a bridge 4 high.
    horseshoe = np.zeros((40, 40), bool)
    horseshoe[5:35, 5:11] = horseshoe[5:35, 29:35] = horseshoe[31:35, 5:35] = True
    long = long_axis(horseshoe, (1.0, 1.0))
    short = short_axis(horseshoe, long, (1.0, 1.0))
    ends = np.linspace(*short, 50)[1:-1]
    assert horseshoe[tuple(np.rint(ends).astype(int).T)].all()


def test_the_axes_are_perpendicular():
    lesion = disc(30) & (np.arange(101) > 35)[:, None]
    long = long_axis(lesion, (0.7, 0.9))
    short = short_axis(lesion, long, (0.7, 0.9))
    directions = [(line[1] - line[0]) * (0.7, 0.9) for line in (long, short)]
    assert np.dot(*directions) == pytest.approx(0, abs=1e-6)


def test_the_axes_lie_on_the_slice_with_the_longest_chord():
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[0:2, 5:10, 5:10] = 2
    labels[2, 9, 1:18] = 2  # one long row: less area, but a longer chord
    volume = Volume(np.zeros(labels.shape, np.int16), Spacing(1, 1, 1))
    lesion = measure(Segmentation(labels), volume).lesions[0]
    assert lesion.long_axis[0][0] == 2
    assert lesion.long_axis_mm == 17
