"""The card says what was measured with exactly these weights, and nothing else."""

import json

import pytest
from huggingface_hub import ModelCard

from liverseg.evaluation.model_card import model_card
from liverseg.evaluation.summary import SCORES, summarize
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, write_config
from liverseg.scores.results import ENGINES

NAMES = {
    "liver": "liver.weights.h5",
    "tumor": "tumor.weights.h5",
    "liver_fast": "liver.onnx",
    "tumor_fast": "tumor.onnx",
}
TRAINED = {"data": "phantoms", "split": {"train": ["p1"], "val": ["p2"], "test": ["p3", "p4"]}}


@pytest.fixture
def weights(tmp_path):
    for name in NAMES.values():
        (tmp_path / name).write_bytes(name.encode())
    write_config(tmp_path, Recipe(), NAMES, TRAINED)
    return load_config(tmp_path)


def structure(dice: float | None) -> dict:
    scores = dict.fromkeys(SCORES) | {"dice": dice, "accuracy": 0.5}
    voxels = {"shared_voxels": 1, "prediction_voxels": 2, "truth_voxels": 2, "prediction_ml": 1.0}
    counts = {"voxels": [80, *[0] * 8, 20], "true": [2, *[0] * 8, 15]}
    reliability = counts | {"probability": [4.0, *[0.0] * 8, 19.0]}
    return {"scores": scores, "reliability": reliability} | voxels


def patient(case: str, liver: float, tumor: float | None) -> dict:
    """A scan in the form of `evaluate.score_case`, with three lesions of which one was found."""
    true = [
        {"status": s, "voxels": 9, "long_axis_mm": 12.0} for s in ("detected", "missed", "missed")
    ]
    predicted = [{"status": s, "voxels": 9} for s in ("detected", "false")]
    lesions = {"true_lesions": true, "predicted_lesions": predicted, "truth_ml": 2.0}
    return {
        "case": case,
        "patient": case,
        "spacing_zyx_mm": [2, 1, 1],
        "liver": structure(liver),
        "liver_error_percent": 5.0,
        "tumor": None if tumor is None else structure(tumor) | lesions,
        "burden_error_percent": None,
    }


def write_results(weights, engine="reference", split="test", **others):
    patients = [patient("p3", 0.911, 0.123), patient("p4", 0.955, None)]
    identity = f"{engine}-{weights.identity(ENGINES[engine])}"
    found = {"weights": identity, "summary": summarize(patients), "patients": patients}
    results = {split: {engine: found}} | others
    (weights.folder / "results.json").write_text(json.dumps(results))
    return found


def test_without_results_it_says_that_nothing_was_measured(weights):
    card = model_card(weights)
    assert "No scores have been measured with these weights" in card.text
    assert not card.data.eval_results
    assert "0." not in card.text.split("## Results")[1].split("## Retrain")[0]


def test_its_metadata_carry_the_measured_means(weights):
    found = write_results(weights)
    card = ModelCard(str(model_card(weights)))  # as the Hub reads it
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values["liver Dice, mean, reference engine"] == found["summary"]["liver"]["dice"]["mean"]
    assert values["tumor Dice, mean, reference engine"] == 0.123
    assert not any("IoU" in name for name in values)  # undefined here


def test_its_tables_say_the_same(weights):
    write_results(weights)
    lines = model_card(weights).text.splitlines()
    assert "| Dice | 0.933 ± 0.031 | 0.933 | 0.911 to 0.955 | 2 |" in lines
    assert "| p3 | 0.911 | – | 0.123 | 1 of 3 tumors detected, 1 false |" in lines
    assert "| p4 | 0.955 | – | – | not annotated |" in lines


@pytest.mark.parametrize("split", ["test", "val"])
def test_calibration_is_shown_of_the_patients_it_was_measured_on(weights, split):
    assert "## Calibration\n\nNot measured." in model_card(weights).text
    write_results(weights, split=split)
    text = model_card(weights).text
    # said 0.05 and 0.95, true 0.025 and 0.75 of 80 and 20 voxels
    assert "expected calibration error: liver 0.060, tumor inside the found liver 0.060" in text
    lines = text.split("## Calibration")[1].splitlines()
    assert "| 0.050 | 0.025 | 160 |" in lines  # of two scans
    assert "| 0.950 | 0.750 | 40 |" in lines
    assert any(f"{split} patients" in line for line in lines)


def test_results_of_other_weights_do_not_count(weights):
    write_results(weights)
    (weights.folder / NAMES["tumor"]).write_bytes(b"trained again")
    write_config(weights.folder, Recipe(), NAMES, TRAINED)
    assert "No scores have been measured" in model_card(load_config(weights.folder)).text


def test_the_worst_patients_come_with_the_reason_where_someone_looked(weights):
    of = {network: weights.files[network]["sha256"] for network in ("liver", "tumor")}
    remarks = {"of": of, "cases": {"p3": "A cyst was taken for a tumor."}}
    write_results(weights, remarks=remarks)
    text = model_card(weights).text
    assert "- p3, liver: Dice 0.911. A cyst was taken for a tumor." in text
    assert "- p3, tumor: Dice 0.123 (1 of 3 tumors detected, 1 false). A cyst was" in text


def test_a_remark_on_other_weights_masks_is_not_repeated(weights):
    remarks = {"of": {"liver": "0", "tumor": "0"}, "cases": {"p3": "A cyst was taken for a tumor."}}
    write_results(weights, remarks=remarks)
    assert "A cyst" not in model_card(weights).text


def test_it_names_uses_terms_and_the_split(weights):
    text = model_card(weights).text
    for needed in ("Not for diagnosis", "CC BY-NC-ND", "CC BY-SA 4.0", "- test: p3, p4", "Retrain"):
        assert needed in text
    assert "{{" not in text and "{%" not in text


def test_it_says_what_was_reached_where_the_thresholds_were_chosen(weights):
    summary = summarize([patient("p2", 0.9, 0.5), patient("p5", 0.93, None)])
    write_config(weights.folder, Recipe(), NAMES, TRAINED | {"thresholds": {"summary": summary}})
    text = model_card(load_config(weights.folder)).text
    assert "On 2 more, on whom the thresholds were chosen" in text
    assert "a mean Dice of 0.915 and 0.500" in text
    assert "that had not learned from them; voxels" in text.split("## Calibration")[1]
