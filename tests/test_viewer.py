import gzip
import re

import numpy as np
import pytest

from liverseg.network.cascade import Step
from liverseg.page.viewer.component import HERE, LiverViewer
from liverseg.page.viewer.packing import (
    middle_out,
    pack_masks,
    pack_preview,
    pack_result,
    pack_scan_steps,
)
from liverseg.scores.findings import find
from liverseg.volume import Probability, Segmentation, Source, Spacing, Volume
from tests.helpers.packed import pack_scan, private_folder


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return private_folder()


THRESHOLDS = (0.5, 0.5)


def unpacked(file, shape):
    content = gzip.decompress(file.read_bytes())
    return np.frombuffer(content, np.uint8).reshape(shape)


def unpacked_scan(files, shape):
    """(z, y, x) HU, slices in the order in which they are stored."""
    _, *plane = shape
    low, high = np.concatenate(
        [unpacked(file, (-1, 2, np.prod(plane))) for file in files]
    ).swapaxes(0, 1)
    zigzag = low.astype(int) + 256 * high.astype(int)
    steps = np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2)
    return (np.cumsum(steps, axis=1) - 1024).reshape(shape)


def a_volume(hu, **settings):
    return Volume(np.asarray(hu, np.int16), **settings)


def a_cube(shape, box, label=1):
    labels = np.zeros(shape, np.uint8)
    labels[box] = label
    return Segmentation(labels)


def test_the_folder_is_private_and_served_by_gradio(folder, tmp_path):
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch("[0-9a-f]{64}", folder.name)


def test_every_hu_comes_back_whatever_stands_beside_it(folder):
    every = np.arange(-1024, 3072)
    far = np.stack([every, every[::-1]], axis=1)  # as large steps as there are, up and down
    shuffled = np.random.default_rng(0).permutation(every)
    for hu in (every, far, shuffled):
        hu = hu.reshape(1, 64, -1)
        value = pack_scan(a_volume(hu), folder)
        assert value["hu_range"] == [-1024, 3071]
        np.testing.assert_array_equal(unpacked_scan(value["ct"], hu.shape), hu)


def test_a_picture_keeps_all_its_gray_values(folder):
    hu = np.linspace(-100, 155, 256).round().astype(int).reshape(1, 16, 16)
    value = pack_scan(a_volume(hu, windowed=(-100, 155)), folder)
    assert value["windowed"] == [-100, 155]
    np.testing.assert_array_equal(unpacked_scan(value["ct"], hu.shape), hu)


def test_the_middle_slice_comes_before_all_others_are_packed(folder):
    steps = pack_scan_steps(a_volume(np.zeros((5, 2, 2))), folder)
    first = next(steps)
    assert unpacked_scan(first["ct"], (1, 2, 2)).shape == (1, 2, 2)
    (value,) = steps
    assert value["ct"][0] == first["ct"][0]
    assert value["id"] == first["id"]
    assert len(pack_scan(a_volume(np.zeros((1, 2, 2))), folder)["ct"]) == 1


def test_slices_lie_in_the_files_from_the_middle_outwards(folder):
    assert middle_out(5) == [2, 1, 3, 0, 4]
    assert middle_out(4) == [2, 1, 3, 0]
    hu = np.zeros((5, 2, 2), np.int16) + np.arange(5).reshape(5, 1, 1) * 100
    stored = unpacked_scan(pack_scan(a_volume(hu), folder)["ct"], hu.shape)
    assert (stored[:, 0, 0] // 100).tolist() == middle_out(5)


def test_what_is_unknown_stays_unknown(folder):
    value = pack_scan(a_volume(np.zeros((2, 4, 4))), folder)
    assert value["spacing_mm"] is None
    assert value["slice_mm"] is None
    value = pack_scan(a_volume(np.zeros((2, 4, 4)), spacing=Spacing(None, 1, 2)), folder)
    assert value["spacing_mm"] == [None, 1, 2]


def test_the_place_of_a_slice_is_the_files(folder):
    positions = np.array([[0, 0, -700.126], [0, 0, -695]])
    source = Source("dicom", positions_mm=positions)
    value = pack_scan(a_volume(np.zeros((2, 4, 4)), source=source), folder)
    assert value["slice_mm"] == [-700.13, -695]


def test_prediction_and_truth_share_a_byte(folder):
    shape = (3, 8, 8)
    volume = a_volume(np.zeros(shape), spacing=Spacing(1, 1, 1))
    prediction, truth = a_cube(shape, np.s_[1, 2:5, 2:5]), a_cube(shape, np.s_[1, 3:5, 3:5], 2)
    value = pack_masks(pack_scan(volume, folder), prediction, truth, THRESHOLDS, folder=folder)
    packed = unpacked(value["result"]["labels"], shape)
    np.testing.assert_array_equal(packed & 3, prediction.labels)
    np.testing.assert_array_equal(packed >> 2, truth.labels)
    assert value["state"] == "result"


def test_a_truth_alone_is_no_result_of_the_networks(folder):
    volume = a_volume(np.zeros((3, 8, 8)))
    truth = a_cube((3, 8, 8), np.s_[1])
    value = pack_masks(pack_scan(volume, folder), None, truth, THRESHOLDS, folder=folder)
    assert value["state"] == "scan"
    assert value["result"]["predicted"] is False
    assert value["result"]["truth"] is True


def test_probabilities_travel_in_their_box(folder):
    volume = a_volume(np.zeros((3, 8, 8)))
    liver = Probability(np.full((2, 4, 4), 200, np.uint8), (1, 2, 3))
    tumor = Probability(np.full((1, 2, 2), 100, np.uint8), (1, 3, 4))
    result = Segmentation(np.zeros((3, 8, 8), np.uint8), liver, tumor)
    value = pack_masks(pack_scan(volume, folder), result, None, (0.4, 0.6), folder=folder)
    packed = value["result"]["probability"]
    assert packed["liver"]["corner"] == [1, 2, 3]
    np.testing.assert_array_equal(unpacked(packed["tumor"]["values"], (1, 2, 2)), tumor.values)
    assert value["result"]["thresholds"] == {"liver": 0.4, "tumor": 0.6}


def test_masks_arrive_slice_by_slice(folder):
    value = pack_scan(a_volume(np.zeros((4, 8, 8))), folder)
    for z in ((2, 1), (3,)):
        labels = np.full((len(z), 8, 8), len(z), np.uint8)
        step = Step("Outlining the liver", len(z), 4, z, labels)
        value = pack_preview(value, step, folder=folder)
    assert [preview["z"] for preview in value["previews"]] == [[2, 1], [3]]
    assert value["progress"] == {"stage": "Outlining the liver", "done": 1, "total": 4}
    assert (unpacked(value["previews"][0]["labels"], (2, 8, 8)) == 2).all()
    result = pack_masks(value, a_cube((4, 8, 8), np.s_[1]), None, THRESHOLDS, folder=folder)
    assert result["previews"] == []
    assert result["progress"] is None


def test_what_was_packed_before_is_not_sent_again(folder):
    volume = a_volume(np.zeros((3, 8, 8)), spacing=Spacing(1, 1, 1))
    prediction = a_cube((3, 8, 8), np.s_[1], 2)
    first = pack_masks(pack_scan(volume, folder), prediction, None, THRESHOLDS, folder=folder)
    later = pack_result(first, find(volume, prediction, "weights"), THRESHOLDS, folder=folder)
    assert later["result"]["labels"] == first["result"]["labels"]
    assert later["ct"] == first["ct"]


def test_lesions_say_what_became_of_them(folder):
    shape = (6, 32, 32)
    volume = a_volume(np.zeros(shape), spacing=Spacing(2, 1, 1))
    prediction, truth = np.ones(shape, np.uint8), np.ones(shape, np.uint8)
    prediction[1:3, 4:10, 4:10] = truth[1:3, 4:10, 4:10] = 2
    truth[4, 20:24, 20:24] = 2
    prediction[5, 28:31, 28:31] = 2
    prediction, truth = Segmentation(prediction), Segmentation(truth)
    findings = find(volume, prediction, "weights", truth, surfaces=False)
    value = pack_result(pack_scan(volume, folder), findings, THRESHOLDS, folder=folder)
    found = [(lesion["status"], lesion["first_slice"]) for lesion in value["result"]["lesions"]]
    assert found == [("detected", 1), ("false", 5), ("missed", 4)]


def test_the_template_holds_nothing_that_gradio_would_run():
    for name in ("viewer.html", "viewer.css"):
        text = (HERE / name).read_text(encoding="utf-8")
        assert not re.search(r"\$\{|\{\{|`", text)


def test_what_a_browser_sends_back_is_dropped():
    assert LiverViewer().preprocess({"ct": {"path": "/etc/passwd"}}) is None
