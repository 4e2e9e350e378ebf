import numpy as np
import pytest
from scipy import ndimage

from liverseg.phantom import EXTENT_MM, make_phantom
from liverseg.volume import Spacing

pytestmark = pytest.mark.slow

SMALL = (12, 96, 96)  # 12.5 x 4 x 4 mm
IN_PLANE = np.ones((1, 3, 3))


@pytest.fixture(scope="module")
def patient():
    return make_phantom(3, shape=(30, 128, 128), tumors=3, diameter_mm=(20, 30), cysts=1)


def lesion_sizes_mm(truth, spacing) -> list[float]:
    """The longest axial diameter of every tumor, between voxel centers."""
    lesions, count = ndimage.label(truth.tumor, np.ones((3, 3, 3)))
    sizes = []
    for number in range(1, count + 1):
        longest = 0.0
        for plane in lesions == number:
            at = np.argwhere(plane) * (spacing.y, spacing.x)
            if len(at):
                longest = max(longest, np.linalg.norm(at[:, None] - at[None], axis=-1).max())
        sizes.append(longest)
    return sizes


def test_the_same_seed_is_the_same_patient_and_another_seed_another():
    (scan, truth), (again, truth_again) = make_phantom(5, shape=SMALL), make_phantom(5, shape=SMALL)
    np.testing.assert_array_equal(scan.hu, again.hu)
    np.testing.assert_array_equal(truth.labels, truth_again.labels)
    other, _ = make_phantom(6, shape=SMALL)
    assert np.abs(scan.hu.astype(int) - other.hu).mean() > 50


def test_the_default_grid_has_the_promised_spacing():
    default = Spacing(*(extent / n for extent, n in zip(EXTENT_MM, (60, 512, 512), strict=True)))
    assert default == Spacing(2.5, 0.75, 0.75)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((12, 128, 128), Spacing(10, 3, 3)), ((5, 101, 77), Spacing(1.25, 0.7, 0.8))],
)
def test_shape_and_spacing_are_as_asked(shape, spacing):
    scan, truth = make_phantom(1, shape=shape, spacing=spacing)
    assert scan.shape == truth.labels.shape == shape
    assert scan.spacing == spacing
    assert truth.liver.any()


def test_a_single_slice_has_no_spacing_along_z():
    scan, truth = make_phantom(1, shape=(1, 128, 128))
    assert scan.spacing == Spacing(None, 3.0, 3.0)
    assert truth.liver.any()


def test_a_patient_keeps_the_liver_s_volume_on_every_grid():
    volumes = []
    for shape in ((20, 96, 96), (30, 100, 140)):
        scan, truth = make_phantom(2, shape=shape)
        volumes.append(truth.liver.sum() * scan.voxel_ml)
    assert 900 < volumes[0] < 2200  # mL, what adults have
    assert volumes[1] == pytest.approx(volumes[0], rel=0.03)


def test_lesions_change_neither_the_anatomy_nor_the_noise():
    healthy, _ = make_phantom(4, shape=SMALL, tumors=0, cysts=0)
    ill, truth = make_phantom(4, shape=SMALL, tumors=2, diameter_mm=(25, 35), cysts=0)
    touched = ndimage.binary_dilation(truth.tumor, np.ones((5, 5, 5)))  # blurred by slices
    np.testing.assert_array_equal(healthy.hu[~touched], ill.hu[~touched])
    assert (healthy.hu != ill.hu).any()


@pytest.mark.parametrize("tumors", [0, 1, 6])
def test_there_are_as_many_tumors_as_asked(tumors):
    _, truth = make_phantom(7, shape=(20, 128, 128), tumors=tumors, diameter_mm=(4, 25))
    assert ndimage.label(truth.tumor, np.ones((3, 3, 3)))[1] == tumors


@pytest.mark.parametrize("diameter_mm", [(4, 6), (20, 24), (50, 60)])
def test_tumors_have_the_size_asked_for(diameter_mm):
    scan, truth = make_phantom(8, shape=(50, 192, 192), tumors=1, diameter_mm=diameter_mm, cysts=0)
    (size,) = lesion_sizes_mm(truth, scan.spacing)
    pixel = scan.spacing.x
    assert 0.75 * diameter_mm[0] - 2 * pixel < size < 1.2 * diameter_mm[1] + pixel


@pytest.mark.parametrize("contrast", [-60, -15, 40])
def test_tumors_have_the_contrast_asked_for(contrast):
    options = {"shape": (12, 160, 160), "cysts": 0, "diameter_mm": (38, 40), "tumors": 1}
    scan, truth = make_phantom(9, contrast_hu=(contrast, contrast), **options)
    healthy, _ = make_phantom(9, **(options | {"tumors": 0}))
    inner = ndimage.binary_erosion(truth.tumor, IN_PLANE, iterations=2)
    change = scan.hu[inner].astype(float).mean() - healthy.hu[inner].mean()
    assert contrast - 25 < change < contrast + 10  # the core of a large tumor is darker


def test_more_tumors_than_fit_are_refused():
    with pytest.raises(ValueError, match="no room for 12 tumors"):
        make_phantom(0, shape=SMALL, tumors=12, diameter_mm=(50, 60))


def test_the_liver_is_one_piece_inside_the_body(patient):
    scan, truth = patient
    pieces, count = ndimage.label(truth.liver)
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.max() > 0.999 * sizes.sum(), f"{count} pieces"
    body = ndimage.binary_fill_holes(scan.hu.max(axis=0) > -300)
    assert body[truth.liver.any(axis=0)].all()


def test_tissues_have_the_hu_of_the_portal_venous_phase(patient):
    scan, truth = patient
    liver = ndimage.binary_erosion(truth.labels == 1, IN_PLANE, iterations=2)
    assert 40 < scan.hu[liver].mean() < 160
    assert 5 < scan.hu[liver].std() < 35
    body = ndimage.binary_fill_holes(scan.hu > -300, structure=IN_PLANE)
    share = {
        "air": (scan.hu[~body] < -900).mean(),
        "fat": ((scan.hu > -140) & (scan.hu < -60))[body].mean(),
        "soft tissue": ((scan.hu > 0) & (scan.hu < 220))[body].mean(),
        "bone": (scan.hu > 300)[body].mean(),
    }
    assert share["air"] > 0.95
    assert 0.1 < share["fat"] < 0.6
    assert 0.3 < share["soft tissue"] < 0.8
    assert 0.005 < share["bone"] < 0.08


def test_there_are_lungs_above_and_gas_in_the_bowel_below(patient):
    scan, _ = patient
    assert (scan.hu[-1] < -700).mean() > 2 * (scan.hu[0] < -700).mean() - 1
    middle = scan.hu[:, 40:120, 40:120]
    assert (middle[-2] < -700).mean() > 0.2
    assert (middle[:8] < -700).any()


def test_cysts_are_water_and_belong_to_the_liver():
    options = {"shape": (20, 128, 128), "tumors": 0}
    scan, truth = make_phantom(2, cysts=4, **options)
    healthy, without = make_phantom(2, cysts=0, **options)
    np.testing.assert_array_equal(truth.labels, without.labels)
    changed = scan.hu < healthy.hu - 60
    assert truth.liver[changed].mean() > 0.95
    assert np.abs(np.median(scan.hu[changed]) - 10) < 25


def test_livers_differ_from_patient_to_patient():
    means = []
    for seed in range(6):
        scan, truth = make_phantom(seed, shape=(10, 64, 64), tumors=0, cysts=0)
        means.append(scan.hu[ndimage.binary_erosion(truth.liver, IN_PLANE)].mean())
    assert np.std(means) > 8
    assert min(means) > 40 and max(means) < 160
