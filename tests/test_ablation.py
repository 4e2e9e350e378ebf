"""One thing changed at a time, and the paper's protocol: what each network is given, and scores."""

import json
from dataclasses import replace

import numpy as np
import pytest

from liverseg.errors import DataError
from liverseg.evaluation import ablation
from liverseg.evaluation.ablation import ROWS, ChangedSamples, Row, ablate, smaller
from liverseg.evaluation.input_change import repeat_slice
from liverseg.evaluation.paper_copies import Copy, CopySamples, make_copies, render, split_copies
from liverseg.evaluation.paper_protocol import batch_dice, equalize, soft_dice
from liverseg.network.recipe import Recipe
from liverseg.training.labelled_scan import LabelledScan
from liverseg.training.samples import LiverSamples
from liverseg.training.train import Stage

pytestmark = pytest.mark.slow

RECIPE = Recipe(size=32, filters=(4, 8))
STAGE = Stage(size=32, batch=2, steps=2, learning_rate=1e-3, warmup=1, check_every=2)


def case(name="a", tumors=True) -> LabelledScan:
    """A liver, on four of eight slices with a tumor, in front of noise."""
    labels = np.zeros((8, 48, 48), np.uint8)
    labels[1:7, 10:34, 8:30] = 1
    if tumors:
        labels[2:6, 16:24, 14:22] = 2
    noise = np.random.default_rng(0).integers(-100, 300, labels.shape)
    hu = np.where(labels, np.choose(labels, [0, 100, 50]), noise).astype(np.int16)
    return LabelledScan(name, name, hu, labels, np.arange(8) * 2.5, 0.75)


def test_the_paper_s_gray_values_use_all_levels_alike():
    equalized = equalize(case(), RECIPE)
    for hu in equalized.hu:
        assert (hu.min(), hu.max()) == (-40, 160)
    background = equalized.hu[0]  # of a slice without liver every level is as frequent
    counts, _ = np.histogram(background, 4, (-40, 160))
    assert counts.max() < 1.4 * counts.min()


def test_metal_and_what_is_outside_the_paper_s_window_do_not_matter():
    one = case()
    metal = replace(one, hu=np.where(one.hu == 250, 2000, one.hu).astype(np.int16))
    zero = replace(one, hu=np.where(one.hu == 250, 0, one.hu).astype(np.int16))
    np.testing.assert_array_equal(equalize(metal, RECIPE).hu, equalize(zero, RECIPE).hu)


def test_every_slice_with_tumors_is_copied_at_every_tenth_degree():
    copies = make_copies([case(), case("b", tumors=False)])
    assert len(copies) == 4 * 36
    assert {copy.z for copy in copies} == {2, 3, 4, 5}
    assert sum(copy.flipped for copy in copies) == len(copies) / 2


def test_copies_of_one_slice_are_on_both_sides_of_the_paper_s_split():
    learned, held_out = split_copies(make_copies([case()]), seed=0)
    assert (len(learned), len(held_out)) == (115, 29)
    assert not set(map(id, learned)) & set(map(id, held_out))
    assert {copy.z for copy in learned} == {copy.z for copy in held_out} == {2, 3, 4, 5}


def test_the_tumor_network_s_input_is_multiplied_by_the_true_liver():
    copy = Copy(equalize(case(), RECIPE), 3, 0, False)
    liver, tumor = (render(copy, network, RECIPE) for network in ("liver", "tumor"))
    assert (liver.image[..., 0] == liver.image[..., 2]).all()
    np.testing.assert_array_equal(tumor.image[liver.mask], liver.image[liver.mask])
    assert not tumor.image[~liver.mask].any()
    assert liver.image[~liver.mask].any()
    assert tumor.mask.sum() < liver.mask.sum()


def test_a_copy_is_turned_and_flipped_with_its_mask():
    one = equalize(case(), RECIPE)
    upright = render(Copy(one, 3, 0, False), "liver", RECIPE)
    turned = render(Copy(one, 3, 90, False), "liver", RECIPE)
    flipped = render(Copy(one, 3, 0, True), "liver", RECIPE)
    np.testing.assert_array_equal(flipped.mask, upright.mask[:, ::-1])
    np.testing.assert_allclose(turned.image, np.rot90(upright.image), atol=1e-5)
    assert (turned.mask == np.rot90(upright.mask)).mean() > 0.99


def test_the_paper_s_dice_is_soft_over_the_batch_and_forgives_empty_slices():
    truth, probability = np.array([1.0, 1.0, 0.0]), np.array([0.5, 1.0, 0.5])
    assert float(soft_dice(truth, probability)) == pytest.approx((2 * 1.5 + 1) / (2 + 2 + 1))
    assert float(soft_dice(np.zeros(3), np.zeros(3))) == 1


def test_the_paper_s_dice_is_the_mean_over_batches_of_eight():
    class Nothing:
        def predict_on_batch(self, images):
            return np.zeros((*images.shape[:-1], 1), np.float32)

    copies = make_copies([case()])[:12]
    masks = np.stack([render(copy, "tumor", RECIPE).mask for copy in copies])
    wanted = [1 / (part.sum() + 1) for part in (masks[:8], masks[8:])]
    assert batch_dice(Nothing(), copies, "tumor", RECIPE) == pytest.approx(wanted)


def test_copies_are_drawn_by_the_random_generator_only():
    samples = CopySamples(make_copies([case()]), "liver", RECIPE)
    one, two = (samples.draw(np.random.default_rng(5), 32) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)


def test_a_row_changes_the_image_and_nothing_else():
    samples = LiverSamples([case()], RECIPE)
    plain = samples.draw(np.random.default_rng(1), 32)
    gray = ChangedSamples(samples, repeat_slice).draw(np.random.default_rng(1), 32)
    np.testing.assert_array_equal(gray.mask, plain.mask)
    for channel in range(3):
        np.testing.assert_array_equal(gray.image[..., channel], plain.image[..., 1])


def test_a_smaller_case_is_as_large_in_millimeters():
    small = smaller(case(), 24)
    assert small.labels.shape == small.hu.shape == (8, 24, 24)
    assert small.pixel_mm == 1.5
    assert set(np.unique(small.labels)) == {0, 1, 2}
    assert smaller(small, 24) is small


def test_every_row_but_a_network_s_first_changes_one_thing():
    for network in ("liver", "tumor"):
        first, *others = [row for row in ROWS if row.network == network]
        assert first == Row(network, "base", first.change)
        for row in others:
            changed = [k for k, value in vars(row).items() if value != getattr(first, k)]
            changed = set(changed) - {"name", "change"}
            assert len(changed) == 1 or row.name == "equalized"  # with a window of its own


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run of two rows, its JSON file, and the split it was made of."""
    folder = tmp_path_factory.mktemp("ablation")
    split = {"train": [case()], "val": [case("b")], "test": [case("c")]}
    rows = [ROWS[0], next(row for row in ROWS if (row.network, row.name) == ("tumor", "field"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "ROWS", rows)
        found = ablate(split, folder, RECIPE, STAGE, folder / "ablations.json")
    return found, folder, split, rows


def test_rows_are_scored_on_validation_patients_and_stored(run):
    found, folder, _, _ = run
    assert found == json.loads((folder / "ablations.json").read_text())
    assert [(row["network"], row["name"]) for row in found["rows"]] == [
        ("liver", "base"),
        ("tumor", "field"),
    ]
    for row in found["rows"]:
        assert set(row["scans"]) == {"b"}
        assert 0 <= row["dice"] <= 1
    assert (found["settings"]["train"], found["settings"]["val"]) == (["a"], ["b"])
    assert found["settings"]["stage"]["steps"] == 2


def test_the_paper_s_protocol_has_all_its_scores(run):
    for network, scores in run[0]["paper_protocol"].items():
        assert scores["slices"] == 4
        assert all(0 <= scores[key] <= 1 for key in ("copies", "never_seen", "whole_scans"))
        assert (folder := run[1] / "paper" / network / "log.csv").is_file(), folder


def test_a_finished_run_trains_nothing(run, monkeypatch):
    found, folder, split, rows = run
    monkeypatch.setattr(ablation, "ROWS", rows)
    monkeypatch.setattr(ablation.Run, "train", None)
    assert ablate(split, folder, RECIPE, STAGE, folder / "ablations.json") == found


def test_a_finished_run_of_other_scans_or_other_code_is_no_run_of_these(run, monkeypatch):
    found, folder, split, rows = run
    monkeypatch.setattr(ablation, "ROWS", rows)
    corrected = replace(split["train"][0], pixel_mm=0.5)
    with pytest.raises(DataError, match="a checkpoint of a training with another scans"):
        ablate(split | {"train": [corrected]}, folder, RECIPE, STAGE, folder / "other.json")
    out = folder / "copy.json"
    out.write_text(json.dumps(found))
    with pytest.raises(DataError, match="another scans"):
        ablate(split | {"train": [corrected]}, folder, RECIPE, STAGE, out)
    monkeypatch.setattr(ablation.fingerprint, "of_code", lambda *parts: "of tomorrow")
    with pytest.raises(DataError, match="another code"):
        ablate(split, folder, RECIPE, STAGE, out)
