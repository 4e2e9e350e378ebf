"""The way from a scan to labels, with networks that are simple thresholds on HU."""

import numpy as np
import pytest

from liverseg.network.cascade import (
    LIVER_STAGE,
    Step,
    coarse_stride,
    level,
    segment,
    segment_steps,
)
from liverseg.network.postprocess import number_parts, remove_doubtful
from liverseg.network.recipe import Recipe
from liverseg.volume import Spacing, Volume

ISOTROPIC = Spacing(2.0, 2.0, 2.0)
AIR, TISSUE, TUMOR_HU, LIVER_HU = -1000, 0, 60, 110


class ThresholdEngine:
    """Liver is above 40 HU and tumor of it below 85, on the middle channel."""

    batch_size = 4
    identity = "threshold"

    def __init__(self, **recipe):
        self.recipe = Recipe(size=64, filters=(4, 8), **recipe)
        self.calls = []

    def predict(self, network, images):
        self.calls.append((network, images))
        return [self.probability(network, image) for image in images]

    def probability(self, network, image):
        hu = self.hu(network, image[..., 1])
        inside = hu > 40 if network == "liver" else (hu > 40) & (hu < 85)
        return np.where(inside, np.float32(0.9), np.float32(0.1))

    def hu(self, network, channel):
        low, high = self.recipe.window_hu
        if network == "tumor":
            low, high = np.add(self.recipe.tumor_window_hu, LIVER_HU)
        return low + channel * (high - low)

    def images(self, network):
        return [image for name, images in self.calls if name == network for image in images]

    def slices(self, network):
        return len(self.images(network))


@pytest.fixture
def engine():
    return ThresholdEngine()


def scan(shape=(20, 64, 64), spacing=ISOTROPIC):
    """Soft tissue in air, a block of liver and a block of tumor in it."""
    hu = np.full(shape, AIR, np.int16)
    hu[:, 8:56, 8:56] = TISSUE
    hu[5:15, 16:40, 12:36] = LIVER_HU
    hu[8:12, 20:30, 20:28] = TUMOR_HU
    return Volume(hu, spacing)


def test_liver_and_tumor_are_found_where_they_are(engine):
    volume = scan()
    found = segment(volume, engine=engine)
    np.testing.assert_array_equal(found.liver, volume.hu > 40)
    assert found.labels.shape == volume.shape
    core = np.s_[:, 22:28, 22:26]  # edges are softened by the resampling
    np.testing.assert_array_equal(found.tumor[core], volume.hu[core] == TUMOR_HU)
    assert not found.tumor[:, :18].any()
    assert found.notices == ()


@pytest.mark.parametrize("shape_yx", [(512, 512), (100, 50), (38, 23)])
def test_the_result_is_on_the_scans_own_grid(engine, shape_yx):
    hu = np.full((3, *shape_yx), AIR, np.int16)
    height, width = shape_yx
    box = np.s_[:, height // 4 : height // 2, width // 4 : 3 * width // 4]
    hu[box] = LIVER_HU
    found = segment(Volume(hu), engine=engine)
    assert found.labels.shape == hu.shape
    rows, columns = np.nonzero(found.liver[1])
    truth_rows, truth_columns = np.nonzero(hu[1] == LIVER_HU)
    pixel = max(shape_yx) / engine.recipe.size
    np.testing.assert_allclose(rows.mean(), truth_rows.mean(), atol=pixel / 2)
    np.testing.assert_allclose(columns.mean(), truth_columns.mean(), atol=pixel / 2)
    assert found.liver.sum() == pytest.approx((hu == LIVER_HU).sum(), rel=0.15)


def test_the_probabilities_thresholded_are_the_labels(engine):
    volume = scan()
    found = segment(volume, engine=engine)
    for mask, probability, threshold in (
        (found.liver, found.liver_probability, engine.recipe.liver_threshold),
        (found.tumor, found.tumor_probability, engine.recipe.tumor_threshold),
    ):
        again = np.zeros(volume.shape, bool)
        again[probability.box] = probability.values >= level(threshold)
        np.testing.assert_array_equal(again, mask)


def test_only_the_largest_component_is_liver(engine):
    hu = scan().hu.copy()
    hu[2:4, 44:54, 44:54] = LIVER_HU  # a smaller one on slices of its own
    hu[7:10, 44:54, 44:54] = LIVER_HU  # and one beside the liver
    found = segment(Volume(hu, ISOTROPIC), engine=engine)
    assert not found.liver[:, 42:, 42:].any()
    assert found.liver[5:15, 18:38, 14:34].all()


def test_holes_are_filled(engine):
    hu = scan().hu.copy()
    hu[9:11, 32:36, 14:20] = TISSUE
    found = segment(Volume(hu, ISOTROPIC), engine=engine)
    assert found.liver[9:11, 32:36, 14:20].all()


def test_tumors_outside_the_liver_do_not_count():
    class Everywhere(ThresholdEngine):
        def probability(self, network, image):
            found = super().probability(network, image)
            return np.ones_like(found) if network == "tumor" else found

    found = segment(scan(), engine=Everywhere(tumor_reach_mm=0.0))
    np.testing.assert_array_equal(found.tumor, scan().hu > 40)


@pytest.mark.parametrize(("least_mm3", "kept"), [(100, True), (10_000, False)])
def test_tumors_below_the_least_volume_are_left_out(least_mm3, kept):
    engine = ThresholdEngine(min_tumor_mm3=least_mm3)  # the tumor has about 320 voxels of 8 mm³
    assert segment(scan(), engine=engine).tumor.any() == kept


def test_small_tumors_stay_where_the_spacing_is_unknown():
    engine = ThresholdEngine(min_tumor_mm3=1e9)
    assert segment(scan(spacing=None), engine=engine).tumor.any()


def test_without_a_liver_the_result_is_empty_and_says_so(engine):
    volume = Volume(np.full((12, 64, 64), TISSUE, np.int16), ISOTROPIC)
    found = segment(volume, engine=engine)
    assert not found.labels.any()
    assert "No liver was found" in found.notices[0]
    assert engine.slices("liver") == 12  # nothing at first look: every slice was looked at
    assert engine.slices("tumor") == 0


def test_a_liver_lost_between_the_pixels_of_a_tiny_picture_is_none(engine):
    class Speck(ThresholdEngine):
        def probability(self, network, image):
            found = np.zeros(image.shape[:2], np.float32)
            found[1, 1] = 1
            return found

    found = segment(Volume(np.zeros((1, 8, 8), np.int16)), engine=Speck())
    assert not found.labels.any()
    assert "No liver was found" in found.notices[0]


def test_a_lone_picture_repeats_itself(engine):
    hu = scan().hu[9:10].copy()
    found = segment(Volume(hu, windowed=(-160, 240)), engine=engine)
    assert found.liver.any()
    (image,) = engine.images("liver")
    np.testing.assert_array_equal(image[..., 0], image[..., 1])
    np.testing.assert_array_equal(image[..., 2], image[..., 1])


def test_neighbors_are_channels_and_the_ends_repeat():
    engine = ThresholdEngine(neighbor_mm=4.0)
    hu = np.zeros((5, 64, 64), np.int16)
    hu += np.arange(0, 50, 10, dtype=np.int16)[:, None, None]
    segment(Volume(hu, Spacing(2.0, 1.0, 1.0)), engine=engine)
    seen = np.array([image[0, 0] for image in engine.images("liver")])
    found = {tuple(row) for row in np.rint(engine.hu("liver", seen)).astype(int).tolist()}
    assert found == {(0, 0, 20), (0, 10, 30), (0, 20, 40), (10, 30, 40), (20, 40, 40)}


def test_the_tumor_network_sees_the_liver_with_its_margin_on_liver_slices_only(engine):
    segment(scan(), engine=engine)
    assert engine.slices("tumor") == 10
    image = engine.images("tumor")[0]
    columns = np.flatnonzero(engine.hu("tumor", image[32, :, 1]) > 40)
    # 24 liver pixels of a square of 24 + 2 x 2 (4 mm of 2 mm), seen on 64
    assert len(columns) == pytest.approx(64 * 24 / 28, abs=2)


def test_slices_that_cannot_hold_liver_are_not_looked_at(engine):
    hu = np.full((200, 64, 64), TISSUE, np.int16)
    hu[91:112, 10:40, 10:40] = LIVER_HU
    found = segment(Volume(hu, ISOTROPIC), engine=engine)
    np.testing.assert_array_equal(found.liver, hu == LIVER_HU)
    assert engine.slices("liver") < 70


@pytest.mark.parametrize(
    ("spacing", "stride"),
    [(None, 4), (Spacing(None, 1, 1), 4), (Spacing(0.5, 1, 1), 20), (Spacing(12, 1, 1), 1)],
)
def test_the_first_look_is_at_one_slice_every_centimeter(spacing, stride):
    assert coarse_stride(spacing, Recipe()) == stride


def test_steps_come_from_the_middle_outwards_with_preliminary_labels(engine):
    volume = scan()
    *steps, last = segment_steps(volume, engine)
    assert all(isinstance(step, Step) and step.result is None for step in steps)
    assert 10 in steps[0].z
    distances = [abs(np.mean(step.z) - 10) for step in steps if step.stage == LIVER_STAGE]
    assert len(distances) > 1
    assert distances == sorted(distances)
    for step in steps:
        assert step.labels.shape == (len(step.z), 64, 64)
        assert 0 < step.done <= step.total
    shown = np.zeros(volume.shape, np.uint8)
    for step in steps:
        shown[list(step.z)] = step.labels
    np.testing.assert_array_equal(shown, last.result.labels)


def test_closing_the_steps_stops_the_networks_after_one_more_batch(engine):
    steps = segment_steps(scan((200, 64, 64)), engine)
    next(steps)
    steps.close()
    assert len(engine.calls) == 2


def test_the_first_look_finds_what_looking_everywhere_finds():
    rng = np.random.default_rng(0)
    hu = np.full((90, 64, 64), TISSUE, np.int16)
    hu[30:62, 16:48, 12:36] = LIVER_HU
    for z, y, x in rng.integers(0, (88, 60, 60), (40, 3)):  # specks
        hu[z : z + 2, y : y + 4, x : x + 4] = LIVER_HU
    volume = Volume(hu, ISOTROPIC)
    quick, thorough = ThresholdEngine(), ThresholdEngine(coarse_step_mm=1.0)
    found = segment(volume, engine=quick)
    np.testing.assert_array_equal(found.labels, segment(volume, engine=thorough).labels)
    assert quick.slices("liver") < thorough.slices("liver") == 90


def test_progress_is_told_stage_by_stage(engine):
    told = []
    segment(scan(), lambda stage, done, total: told.append((stage, done, total)), engine)
    assert [stage for stage, done, total in told if done == total]
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["Looking for the liver", "Outlining the liver", "Finding tumors"]


def test_the_tumor_network_sees_bright_and_pale_livers_alike():
    seen = []
    for brighter in (0, -40):
        engine = ThresholdEngine()
        volume = scan()
        inside = volume.hu > TISSUE
        segment(Volume(np.where(inside, volume.hu + brighter, volume.hu), ISOTROPIC), engine=engine)
        images = next(images for name, images in engine.calls if name == "tumor")
        seen.append(images[0][24:40, 24:40])
    np.testing.assert_allclose(*seen, atol=0.01)


def test_a_tumor_at_the_rim_belongs_to_the_liver_as_far_as_it_may_reach():
    class Rim(ThresholdEngine):
        """The liver network leaves the darker tumor out."""

        def probability(self, network, image):
            if network == "tumor":
                return super().probability(network, image)
            return np.where(self.hu(network, image[..., 1]) > 85, np.float32(0.9), np.float32(0.1))

    hu = np.full((20, 64, 64), TISSUE, np.int16)
    hu[5:15, 16:40, 12:36] = LIVER_HU
    hu[8:12, 20:30, 36:46] = TUMOR_HU
    found = segment(Volume(hu, ISOTROPIC), engine=Rim(tumor_reach_mm=8.0, tumor_margin_mm=8.0))
    columns = np.flatnonzero(found.tumor[10, 25])
    assert 38 <= columns.max() <= 40  # 8 mm are 4 pixels
    assert found.liver[10, 25, columns].all()
    probability = found.liver_probability
    np.testing.assert_array_equal(probability.values >= level(0.5), found.liver[probability.box])


@pytest.mark.parametrize(("peak", "kept"), [(0.85, True), (0.95, False)])
def test_tumors_of_which_the_network_is_nowhere_sure_are_left_out(peak, kept):
    found = segment(scan(), engine=ThresholdEngine(tumor_peak=peak))  # which says 0.9
    assert found.tumor.any() == kept
    assert found.liver.any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 3, 5)])
def test_parts_are_counted_in_boxes_of_a_voxels_width(shape):
    mask = np.zeros(shape, bool)
    mask[::2, ::2, ::2] = True  # as many parts as there can be
    assert number_parts(mask).max() == mask.sum()


def test_parts_as_dark_as_fluid_are_left_out_and_counted():
    hu = np.full((4, 20, 20), LIVER_HU, np.int16)
    values = np.zeros(hu.shape, np.uint8)
    parts = [np.s_[1:3, 2:6, y : y + 4] for y in (2, 8, 14)]
    for part, middle in zip(parts, (21, 20, -5), strict=True):
        values[part] = 200
        hu[part] = middle
        hu[part][0, 0] = LIVER_HU  # an edge does not move the median
    values[0, 19, 19] = 90  # below the threshold
    assert remove_doubtful(values, 128, 1, 128, hu, fluid_hu=20) == 2
    assert (values[parts[0]] == 200).all()
    assert not values[parts[1]].any()
    assert not values[parts[2]].any()
    assert values[0, 19, 19] == 90
    assert remove_doubtful(np.zeros_like(values), 128, 1, 128, hu, fluid_hu=20) == 0


@pytest.mark.parametrize("windowed", [None, (-40, 160)])
def test_a_cyst_is_no_tumor_where_hu_are_true_and_the_person_is_told(windowed):
    class Dark(ThresholdEngine):
        def probability(self, network, image):
            dark = self.hu(network, image[..., 1]) < 30
            return np.where(dark == (network == "tumor"), np.float32(0.9), np.float32(0.1))

    hu = np.full((20, 64, 64), AIR, np.int16)
    hu[5:15, 16:40, 12:36] = LIVER_HU
    hu[8:12, 22:32, 18:28] = 10
    engine = Dark(tumor_reach_mm=0.0)
    found = segment(Volume(hu, ISOTROPIC, windowed=windowed), engine=engine)
    assert found.liver[10, 27, 23]
    assert found.tumor.any() == (windowed is not None)
    told = [sentence for sentence in found.notices if "20 HU or less" in sentence]
    assert len(told) == (windowed is None)
