"""Evaluation on scans so small that every score is known."""

import json

import cv2
import numpy as np
import pytest

from liverseg.evaluation import evaluate
from liverseg.evaluation.summary import describe, summarize
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, write_config
from liverseg.training.labelled_scan import LabelledScan

SHAPE = (10, 64, 64)
LIVER_HU, TUMOR_HU = 100, 150


class BrightnessEngine:
    """Calls liver what is bright, and tumor what is brighter still."""

    recipe = Recipe(size=64, window_hu=(-40, 160), min_tumor_mm3=0.0)
    identity = "fast-0123456789ab"
    batch_size = 4

    def __init__(self):
        self.slices = 0

    def predict(self, network, images):
        self.slices += len(images)
        lowest, least = {"liver": (-40, 20), "tumor": (LIVER_HU - 130, 125)}[network]
        return [np.float32(image[..., 1] * 200 + lowest > least) for image in images]


def case(name="p1", tumor=True, annotated=True, measured=True, z_mm=None):
    """A liver of 8x32x32 with a tumor of 4x8x8 that the engine sees as it is."""
    hu = np.full(SHAPE, -40, np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    hu[1:9, 16:48, 16:48] = LIVER_HU
    labels[1:9, 16:48, 16:48] = 1
    if tumor:
        hu[3:7, 24:32, 24:32] = TUMOR_HU
        labels[3:7, 24:32, 24:32] = 2
    if not annotated:
        labels[labels > 0] = 3
    z_mm = np.arange(SHAPE[0]) * 2.0 if z_mm is None else z_mm
    return LabelledScan(name, name, hu, labels, z_mm, 1.0, measured)


def scored(one: LabelledScan) -> dict:
    return evaluate.score_case(one, BrightnessEngine())


def test_a_scan_segmented_as_it_is_annotated_scores_1():
    record = scored(case())
    assert record["liver"]["scores"]["dice"] > 0.99
    assert record["tumor"]["scores"]["dice"] > 0.9
    assert record["tumor"]["true_lesions"] == [
        {"status": "detected", "voxels": 256, "long_axis_mm": pytest.approx(8 * 2**0.5, abs=1)}
    ]
    assert record["tumor"]["truth_ml"] == pytest.approx(256 * 2 / 1000)
    assert abs(record["burden_error_percent"]) < 0.5
    assert record["liver"]["scores"]["hd95_mm"] <= 1


def test_probabilities_are_checked_where_the_networks_decide():
    summary = summarize([scored(case()), scored(case("p2", tumor=False))])
    liver, tumor = (summary[name]["calibration"] for name in ("liver", "tumor"))
    assert sum(point["voxels"] for point in tumor["curve"]) == pytest.approx(2 * 8 * 32 * 32)
    assert sum(point["voxels"] for point in liver["curve"]) >= 2 * 8 * 32 * 32
    assert liver["curve"][-1]["frequency"] > 0.98
    assert tumor["error"] < 0.01  # the engine says 0 or 1 and is right


def test_unannotated_tumors_count_as_liver_and_have_no_score():
    record = scored(case(annotated=False))
    assert record["liver"]["scores"]["dice"] > 0.99
    assert record["tumor"] is None
    assert record["burden_error_percent"] is None


def test_only_the_annotated_slices_count_for_tumors():
    one = case()
    one.labels[4][one.labels[4] > 0] = one.labels[6][one.labels[6] > 0] = 3
    record = scored(one)
    assert record["tumor"]["truth_voxels"] == 128  # slices 3 and 5 of 3 to 6
    assert record["liver"]["truth_voxels"] == 8 * 32 * 32


def test_a_volume_is_as_wrong_when_too_small_as_when_too_large():
    one = case(tumor=False)
    one.labels[1:3] = 0  # the engine finds 8 slices where 6 are true
    assert scored(one)["liver_error_percent"] == pytest.approx(100 / 3, abs=0.5)
    one = case(tumor=False)
    one.hu[1:3] = -40
    assert scored(one)["liver_error_percent"] == pytest.approx(25, abs=0.5)


def test_assumed_spacing_gives_no_millimeters():
    record = scored(case(measured=False))
    assert record["spacing_zyx_mm"] is record["liver_truth_ml"] is None
    assert record["liver"]["scores"]["assd_mm"] is None
    assert record["liver"]["scores"]["dice"] > 0.99


def test_spacing_is_that_of_the_liver_not_of_the_gaps_outside():
    z_mm = np.array([0.0, 50, 52, 54, 56, 58, 60, 62, 64, 120])
    assert evaluate.spacing_of(case(z_mm=z_mm)).z == 2
    every_second = np.arange(10) % 2 == 0
    assert evaluate.spacing_of(case(z_mm=z_mm), every_second).z == 4


def test_a_tumor_free_scan_has_false_millilitres_and_no_tumor_dice():
    one = case(tumor=False)
    one.hu[3:5, 20:30, 20:30] = TUMOR_HU  # looks like a tumor to the engine
    summary = summarize([scored(one), scored(case("p2"))])
    false_ml = summary["tumor_free"]["false_tumor_ml"]
    assert false_ml["n"] == 1
    assert false_ml["mean"] == pytest.approx(200 * 2 / 1000, rel=0.2)
    assert summary["tumor"]["dice"]["n"] == 1
    assert summary["tumor"]["dice_lits"]["n"] == 2
    assert summary["tumor"]["dice_lits"]["range"][0] == 0
    assert summary["lesions"]["precision"] == 0.5


def test_the_summary_tells_how_many_scans_each_number_is_of():
    summary = summarize([scored(case()), scored(case("p2", annotated=False, measured=False))])
    assert (summary["patients"], summary["scans"], summary["scans_without_spacing"]) == (2, 2, 1)
    assert summary["liver"]["dice"]["n"] == 2
    assert summary["liver"]["assd_mm"]["n"] == summary["tumor"]["dice"]["n"] == 1
    assert summary["lesions"]["by_size"]["10 to 20 mm"] == {
        "true": 1,
        "recall": 1,
        "recall_touched": 1,
    }


def test_global_dice_pools_voxels():
    def record(shared, prediction, truth):
        one = scored(case())
        one["liver"] |= {
            "shared_voxels": shared,
            "prediction_voxels": prediction,
            "truth_voxels": truth,
        }
        return one

    summary = summarize([record(10, 10, 10), record(0, 30, 50)])
    assert summary["liver"]["dice_global"] == 20 / 100


def test_describe_is_worked_out_and_leaves_none_out():
    found = describe([0.2, None, 0.4, 0.9])
    assert (found["n"], found["median"]) == (3, 0.4)
    assert found["mean"] == pytest.approx(0.5)
    assert found["sd"] == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1))
    assert found["range"] == [0.2, 0.9]
    low, high = found["ci95"]
    assert 0.2 <= low < 0.5 < high <= 0.9
    assert found == describe([0.2, 0.4, 0.9])  # the same interval every time
    assert describe([None])["mean"] is None
    assert describe([0.7])["ci95"] is None


@pytest.fixture
def data(tmp_path):
    """Slice folders of two test patients and one for training, with their split."""
    for name in ("p1", "p2", "p3"):
        one = case(name)
        folder = tmp_path / "data" / "ct" / name
        folder.mkdir(parents=True)
        about = {
            "case": name,
            "patient": name,
            "window_hu": [-40, 160],
            "spacing_zyx_mm": [2, 1, 1],
            "slices": list(range(SHAPE[0])),
        }
        (folder / "case.json").write_text(json.dumps(about))
        for z, (hu, labels) in enumerate(zip(one.hu, one.labels, strict=True)):
            gray = np.rint((hu + 40.0) * 255 / 200).astype(np.uint8)
            cv2.imwrite(str(folder / f"z{z:04d}.webp"), gray, [cv2.IMWRITE_WEBP_QUALITY, 101])
            cv2.imwrite(str(folder / f"z{z:04d}_label.png"), labels)
    split = {"train": ["p3"], "val": [], "test": ["p1", "p2"]}
    (tmp_path / "data" / "split.json").write_text(json.dumps(split))
    return tmp_path / "data"


def side_of_test(data):
    return evaluate.cases_of_side(data, "test")


def test_the_command_scores_the_test_patients_only(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load_engine", lambda *_: BrightnessEngine())
    write_config(tmp_path, BrightnessEngine.recipe, {}, {"learned": ["p3"]})
    out = tmp_path / "results.json"
    out.write_text(json.dumps({"ablations": ["kept"]}))
    options = ["--data", str(data), "--weights", str(tmp_path), "--out", str(out)]
    assert evaluate.main([*options, "--split", "test"]) == 0
    stored = json.loads(out.read_text())
    assert stored["ablations"] == ["kept"]
    found = stored["test"]["fast"]
    assert [p["case"] for p in found["patients"]] == ["p1", "p2"]
    assert found["weights"] == BrightnessEngine.identity
    assert found["summary"]["liver"]["dice"]["mean"] > 0.98
    assert "p1" in capsys.readouterr().err


def test_a_stopped_run_goes_on_with_the_patients_that_are_missing(data, tmp_path):
    out = tmp_path / "results.json"
    whole = evaluate.evaluate(side_of_test(data), "test", BrightnessEngine(), out)
    stored = json.loads(out.read_text())
    first = stored["test"]["fast"]["patients"][0]
    stored["test"]["fast"]["patients"] = [first]
    out.write_text(json.dumps(stored))
    engine = BrightnessEngine()
    again = evaluate.evaluate(side_of_test(data), "test", engine, out)
    assert again["summary"] == whole["summary"]
    assert 0 < engine.slices <= 2 * SHAPE[0]  # one scan, both networks
    assert again["patients"][0] == first


@pytest.mark.parametrize("other", ["weights", "code", "spacing", "labels"])
def test_what_was_measured_with_anything_else_is_measured_anew(other, data, tmp_path, monkeypatch):
    out, engine = tmp_path / "results.json", BrightnessEngine()
    before = evaluate.evaluate(side_of_test(data), "test", engine, out)
    scans = 2
    if other == "weights":
        engine.identity = "fast-ffffffffffff"
    elif other == "code":
        monkeypatch.setattr(evaluate.fingerprint, "of_code", lambda *parts: "of tomorrow")
    elif other == "spacing":
        scans, about = 1, data / "ct" / "p2" / "case.json"
        about.write_text(about.read_text().replace("[2, 1, 1]", "[2, 3, 3]"))
    else:
        scans = 1
        cv2.imwrite(str(data / "ct" / "p1" / "z0008_label.png"), np.zeros(SHAPE[1:], np.uint8))
    engine.slices = 0
    found = evaluate.evaluate(side_of_test(data), "test", engine, out)
    assert engine.slices > scans * SHAPE[0]  # two networks
    assert engine.slices <= scans * 2 * SHAPE[0]
    assert json.loads(out.read_text())["test"]["fast"] == found != before
    if other == "spacing":
        assert [p["spacing_zyx_mm"] for p in found["patients"]] == [[2, 1, 1], [2, 3, 3]]


def test_a_scan_that_is_no_longer_there_counts_no_longer(data, tmp_path):
    out = tmp_path / "results.json"
    evaluate.evaluate(side_of_test(data), "test", BrightnessEngine(), out)
    (first, _) = side_of_test(data)
    found = evaluate.evaluate([first], "test", BrightnessEngine(), out)
    assert [patient["case"] for patient in found["patients"]] == ["p1"]
    assert found["summary"]["patients"] == 1


def test_a_stopped_run_has_no_summary_that_could_be_published(data, tmp_path):
    out = tmp_path / "results.json"

    def stops():
        yield next(iter(side_of_test(data)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(stops(), "test", BrightnessEngine(), out)
    stored = json.loads(out.read_text())["test"]["fast"]
    assert [patient["case"] for patient in stored["patients"]] == ["p1"]
    assert "summary" not in stored


def test_looks_at_the_test_patients_are_counted(data, tmp_path):
    out, engine = tmp_path / "results.json", BrightnessEngine()
    for identity in ("fast-00", "reference-00", "fast-11", "fast-00"):
        engine.identity = identity
        evaluate.evaluate(side_of_test(data), "test", engine, out)
    evaluate.evaluate(side_of_test(data), "val", engine, out)
    first, second = json.loads(out.read_text())["looks"]
    assert first["weights"] == {"fast": "fast-00", "reference": "reference-00"}
    assert second["weights"] == {"fast": "fast-11"}
    assert first["dice"]["reference"]["liver"] > 0.98


def test_patients_whom_the_weights_or_their_teacher_learned_are_not_scored(data, tmp_path):
    trained = {"learned": ["p3"], "teacher": {"learned": ["p2"]}}
    write_config(tmp_path, BrightnessEngine.recipe, {}, trained)
    cases = evaluate._unseen(load_config(tmp_path), side_of_test(data))
    assert next(cases).patient == "p1"
    with pytest.raises(ValueError, match="p2 were learned by the weights"):
        next(cases)


def test_an_empty_side_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no scans on the val side"):
        evaluate.evaluate([], "val", BrightnessEngine(), tmp_path / "results.json")


def test_single_pictures_are_no_scans(tmp_path):
    pictures = case(z_mm=np.arange(SHAPE[0]) * 1e3)
    with pytest.raises(ValueError, match="no scans on the test side"):
        evaluate.evaluate([pictures], "test", BrightnessEngine(), tmp_path / "results.json")
