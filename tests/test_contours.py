"""RTSTRUCT: ROIs by their names, filled where their points lie."""

import time
import tracemalloc

import numpy as np
import pytest
from skimage.draw import polygon2mask

from liverseg.errors import BrokenFile, TooLarge, TruthMismatch
from liverseg.reading.dicom.contours import filled
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import LIVER, TUMOR
from tests.helpers.make_dicom import body, ct, rtstruct, write

PIXEL_MM, GAP_MM, CORNER_MM = 0.8, 5.0, (-10.0, -20.0, 30.0)
SHAPE = (8, 48, 40)


@pytest.fixture
def scan(tmp_path):
    return make_scan(tmp_path / "scan")


def make_scan(folder, orientation=(1, 0, 0, 0, 1, 0), shear=0.0):
    slices = []
    for k in range(SHAPE[0]):
        one = ct(hu=body(k, SHAPE[1:]))
        x, y, z = CORNER_MM
        one.ImagePositionPatient = [x, y + shear * k, z + GAP_MM * k]
        one.ImageOrientationPatient = list(orientation)
        one.PixelSpacing = [PIXEL_MM, PIXEL_MM]
        slices.append(one)
    return read_scan(write(slices, folder))


def ring(center, radius, count=60) -> np.ndarray:
    """(n, 2) x and y in pixels."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)], 1)


def square(x, y, side) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)


def placed(volume, polygon: np.ndarray, z: float) -> np.ndarray:
    """(n, 3) mm of (n, 2) pixels on slice z, which may be between two."""
    ones = np.ones(len(polygon))
    return (volume.affine @ np.stack([*polygon.T, z * ones, ones]))[:3].T


def read(tmp_path, volume, *args, **more):
    return read_truth(write([rtstruct(*args, **more)], tmp_path / "truth"), volume)


def codes(truth) -> list[str]:
    return [said.code for said in truth.notices]


# ---------------------------------------------------------------- filling


def test_filling_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    for _ in range(50):
        polygon = rng.uniform(-5, 45, (rng.integers(3, 12), 2))
        expected = polygon2mask((30, 40), polygon[:, ::-1])
        found = filled([polygon], (30, 40))
        assert np.count_nonzero(found != expected) <= 1  # a center on the very edge


def test_a_hole_is_cut_by_an_inner_contour_and_by_a_keyhole():
    outer, inner = square(3.5, 3.5, 20), square(9.5, 9.5, 6)
    expected = np.zeros((30, 30), bool)
    expected[4:24, 4:24], expected[10:16, 10:16] = True, False
    assert np.array_equal(filled([outer, inner], (30, 30)), expected)
    keyhole = np.vstack([outer, outer[:1], inner[::-1], inner[-1:]])
    assert np.array_equal(filled([keyhole], (30, 30)), expected)


def test_what_lies_outside_the_picture_is_cut_off():
    assert filled([square(-100.5, -100.5, 1000)], (5, 7)).all()
    assert not filled([square(-100.5, -100.5, 50), square(50, 50, 9)], (5, 7)).any()


def test_a_zigzag_of_many_points_takes_little_memory_and_time():
    rng = np.random.default_rng(0)
    zigzag = np.stack([rng.uniform(0, 512, 50_000), np.tile([-1e5, 1e5], 25_000)], axis=1)
    tracemalloc.start()
    start = time.process_time()
    filled([zigzag], (64, 512))
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()
    assert time.process_time() - start < 10


# ---------------------------------------------------------------- a file


def test_rois_are_laid_where_their_points_lie(tmp_path, scan):
    rois = {
        "Leber": [placed(scan, ring((18, 20), 11), z) for z in range(2, 7)],
        "GTV": [placed(scan, ring((20, 18), 3), 4)],
        "Milz": [placed(scan, ring((30, 30), 5), 3)],
        "BODY": [placed(scan, ring((20, 20), 19), z) for z in range(8)],
    }
    truth = read(tmp_path, scan, rois)
    y, x = np.indices(SHAPE[1:])
    liver = (x - 18) ** 2 + (y - 20) ** 2 < 11**2
    for z in range(8):
        inside = np.count_nonzero(truth.liver[z] ^ (liver if 2 <= z < 7 else False))
        assert inside <= 0.03 * liver.sum()
    assert truth.tumor.any(axis=(1, 2)).tolist() == [z == 4 for z in range(8)]
    assert abs(truth.tumor.sum() - np.pi * 9) < 5
    assert codes(truth) == ["truth.others_ignored"]


def test_other_tissue_and_holes_follow_the_even_odd_rule(tmp_path, scan):
    rois = {
        "liver": [placed(scan, square(*corner), 3) for corner in ((4.5, 4.5, 20), (9.5, 9.5, 5))]
    }
    truth = read(tmp_path, scan, rois)
    assert truth.labels[3].sum() == 400 - 25


def test_an_roi_without_a_name_goes_by_its_type(tmp_path, scan):
    rois = {
        "liver": [placed(scan, square(4.5, 4.5, 20), 3)],
        "1": [placed(scan, square(9.5, 9.5, 5), 3)],
    }
    truth = read(tmp_path, scan, rois, types={"1": "GTV"})
    assert truth.tumor.sum() == 25


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_contours_between_slices_fill_as_many(tmp_path, scan, shift):
    rois = {"liver": [placed(scan, square(4.5, 4.5, 10), z + shift) for z in range(2, 5)]}
    truth = read(tmp_path, scan, rois)
    assert truth.liver.sum() == 3 * 100
    assert ("truth.contours_between" in codes(truth)) == bool(shift)


def test_contours_on_every_second_slice_fill_those_between(tmp_path, scan):
    rois = {"liver": [placed(scan, square(4.5, 4.5, 10), z) for z in (1, 3, 5)]}
    truth = read(tmp_path, scan, rois)
    assert truth.liver.any(axis=(1, 2)).sum() == 6
    assert "truth.contours_between" in codes(truth)


def test_contours_of_thinner_slices_give_each_slice_the_nearest(tmp_path, scan):
    rois = {"liver": [placed(scan, square(4.5, 4.5, 10), z) for z in np.arange(2, 5.01, 0.2)]}
    truth = read(tmp_path, scan, rois)
    assert truth.liver.any(axis=(1, 2)).tolist() == [2 <= z <= 5 for z in range(8)]
    assert truth.liver.sum() == 4 * 100


def test_two_tumors_far_apart_stay_apart(tmp_path, scan):
    rois = {
        "liver": [placed(scan, square(4.5, 4.5, 20), z) for z in range(8)],
        "tumor": [placed(scan, square(9.5, 9.5, 4), z) for z in (0, 1, 6)],
    }
    truth = read(tmp_path, scan, rois)
    assert truth.tumor.any(axis=(1, 2)).tolist() == [z in (0, 1, 6) for z in range(8)]


def test_contours_lie_right_on_a_tilted_scan(tmp_path):
    volume = make_scan(tmp_path / "scan", shear=1.6)
    rois = {"liver": [placed(volume, square(4.5, 4.5, 10), z) for z in range(2, 5)]}
    truth = read(tmp_path, volume, rois)
    expected = np.zeros(SHAPE, bool)
    expected[2:5, 5:15, 5:15] = True
    assert np.array_equal(truth.liver, expected)


def test_contours_lie_right_on_a_scan_that_is_stored_the_other_way(tmp_path):
    volume = make_scan(tmp_path / "scan", orientation=(-1, 0, 0, 0, -1, 0))
    rois = {"liver": [placed(volume, square(4.5, 9.5, 10), z) for z in range(2, 5)]}
    truth = read(tmp_path, volume, rois)
    expected = np.zeros(SHAPE, bool)
    expected[2:5, 10:20, 5:15] = True
    assert np.array_equal(truth.liver, expected)


@pytest.mark.parametrize("turn", ["coronal", "tilted"])
def test_contours_at_an_angle_to_the_slices_are_refused(tmp_path, scan, turn):
    points = placed(scan, square(4.5, 4.5, 10), 3)
    if turn == "coronal":
        points = points[:, [0, 2, 1]]
    else:
        points[:, 2] += 0.3 * (points[:, 1] - points[0, 1])
    with pytest.raises(TruthMismatch) as refusal:
        read(tmp_path, scan, {"liver": [points]})
    assert refusal.value.code == "truth.contours_tilted"


def test_contours_elsewhere_are_refused_and_some_beyond_are_counted(tmp_path, scan):
    far = placed(scan, square(500, 4.5, 10), 3)
    with pytest.raises(TruthMismatch) as refusal:
        read(tmp_path, scan, {"liver": [far]})
    assert refusal.value.code == "truth.outside"
    above = [placed(scan, square(4.5, 4.5, 10), z) for z in (6, 7, 8, 9)]
    truth = read(tmp_path / "above", scan, {"liver": above})
    assert truth.liver.sum() == 200
    assert codes(truth)[0] == "truth.outside_slices"


def test_no_liver_among_the_rois_is_refused(tmp_path, scan):
    with pytest.raises(TruthMismatch) as refusal:
        read(tmp_path, scan, {"spleen": [placed(scan, square(4.5, 4.5, 10), 3)]})
    assert refusal.value.code == "truth.seg_without_liver"


def test_a_scan_without_positions_has_no_place_for_contours(tmp_path, scan):
    slices = [ct(hu=body(k, SHAPE[1:]), InstanceNumber=k + 1) for k in range(8)]
    for one in slices:
        del one.ImagePositionPatient
    volume = read_scan(write(slices, tmp_path / "placeless"))
    with pytest.raises(TruthMismatch) as refusal:
        read(tmp_path, volume, {"liver": [placed(scan, square(4.5, 4.5, 10), 3)]})
    assert refusal.value.code == "truth.contours_need_place"


def test_contours_beside_their_scan_are_the_truth(tmp_path, scan):
    rois = {"liver": [placed(scan, square(4.5, 4.5, 10), 3)]}
    write([rtstruct(rois)], tmp_path / "scan" / "rt")
    assert read_truth(tmp_path / "scan", scan).liver.sum() == 100


# ---------------------------------------------------------------- hostile files


def test_a_file_of_many_points_is_read_and_of_too_many_refused(tmp_path, scan, monkeypatch):
    one = rtstruct({"liver": [placed(scan, square(4.5, 4.5, 10), z) for z in range(8)]})
    for z, item in enumerate(one.ROIContourSequence[0].ContourSequence):
        points = placed(scan, ring((18, 20), 11, 1000), z)
        texts = b"\\".join(b"%.6f" % value for value in points.ravel())
        item.add_new("ContourData", "UN", b"\\".join([texts] * 61))  # an odd number of times around
    path = write([one], tmp_path / "truth")
    assert sum(file.stat().st_size for file in path.iterdir()) > 12_000_000
    assert read_truth(path, scan).liver.any(axis=(1, 2)).all()
    monkeypatch.setattr("liverseg.reading.dicom.contours.MOST_POINTS", 400_000)
    with pytest.raises(TooLarge) as refusal:
        read_truth(path, scan)
    assert refusal.value.code == "truth.too_many_contours"


@pytest.mark.parametrize("value", [b"nan", b"inf", b"1e300", b"abc", b"1e9"])
def test_impossible_points_are_damage(tmp_path, scan, value):
    one = rtstruct({"liver": [placed(scan, square(4.5, 4.5, 10), 3)]})
    path = write([one], tmp_path / "truth")
    file = next(path.iterdir())
    content = file.read_bytes()
    first = f"{placed(scan, square(4.5, 4.5, 10), 3)[0, 0]:.6g}".encode()
    assert content.count(first + b"\\") >= 1
    file.write_bytes(content.replace(first + b"\\", value.ljust(len(first))[: len(first)] + b"\\"))
    with pytest.raises((BrokenFile, TruthMismatch)):
        read_truth(path, scan)


def test_the_higher_label_wins(tmp_path, scan):
    both = [placed(scan, square(4.5, 4.5, 10), 3)]
    truth = read(tmp_path, scan, {"tumor": both, "liver": both})
    assert set(np.unique(truth.labels)) == {0, TUMOR}
    assert LIVER < TUMOR
