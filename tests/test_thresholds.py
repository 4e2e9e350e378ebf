"""Thresholds chosen on scans whose probabilities are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from liverseg.evaluation import thresholds
from liverseg.evaluation.summary import summarize
from liverseg.evaluation.thresholds import CachedEngine, choose_thresholds
from liverseg.network.cascade import segment
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, sha256, write_config
from liverseg.scores.metrics import dice
from liverseg.training import datasets
from liverseg.training.labelled_scan import LabelledScan
from liverseg.volume import Spacing, Volume

SHAPE = (10, 64, 64)
RECIPE = Recipe(size=64, min_tumor_mm3=0.0)
BACKGROUND_HU, EDGE_HU, LIVER_HU, SPECK_HU, TUMOR_HU = -40, 50, 90, 128, 140


class GradedEngine:
    """As sure of a liver as the scan is bright, and of a tumor where it is brighter still."""

    recipe, identity, batch_size = RECIPE, "fast-0123456789ab", 4

    def __init__(self):
        self.slices = 0

    def predict(self, network, images):
        self.slices += len(images)
        lowest, span = {"liver": (0, 120), "tumor": (95, 60)}[network]
        window = {"liver": -40, "tumor": LIVER_HU - 130}[network]
        return [np.clip((image[..., 1] * 200 + window - lowest) / span, 0, 1) for image in images]


def case(name="p1", tumor=True) -> LabelledScan:
    """A liver in a ring that is 42 % liver to the engine; tumor 75 %, a false one 55 %."""
    hu = np.full(SHAPE, BACKGROUND_HU, np.int16)
    hu[1:9, 12:52, 12:52] = EDGE_HU
    hu[1:9, 16:48, 16:48] = LIVER_HU
    hu[2:8, 36:44, 36:44] = SPECK_HU
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:9, 16:48, 16:48] = 1
    if tumor:
        hu[3:7, 22:30, 22:30] = TUMOR_HU
        labels[3:7, 22:30, 22:30] = 2
    return LabelledScan(name, name, hu, labels, np.arange(10) * 2.0, 1.0)


@pytest.fixture(scope="module")
def chosen():
    engine = GradedEngine()
    return choose_thresholds([(case(), engine), (case("p2", tumor=False), engine)], RECIPE)


def test_the_liver_s_threshold_leaves_out_what_is_less_sure(chosen):
    recipe, curves = chosen.recipe, chosen.curves
    assert recipe.liver_threshold == 0.5  # the ring is 0.42, the liver 0.75
    by_threshold = {point["threshold"]: point["dice"] for point in curves["liver"]}
    ring = 2 * 32**2 / (32**2 + 40**2)
    assert by_threshold[0.4] == pytest.approx(ring, abs=0.02)
    assert by_threshold[0.5] > 0.97


def test_the_tumor_s_peak_leaves_out_the_false_one(chosen):
    recipe, curves = chosen.recipe, chosen.curves
    assert recipe.tumor_peak > 0.5  # the false one is 0.55
    at_02 = {
        p["peak"]: p for p in curves["tumor"] if p["threshold"] == 0.2 and p["smallest_mm3"] == 0
    }
    assert at_02[0.5]["dice"] < 0.8
    assert at_02[0.5]["false_ml"] == pytest.approx(6 * 64 * 2 / 1000, rel=0.35)
    assert at_02[0.7]["dice"] > 0.9
    assert at_02[0.7]["false_ml"] == 0


def test_a_point_is_what_segment_gives_with_these_settings(chosen):
    curves = chosen.curves
    one = case()
    for point in curves["tumor"][:: len(curves["tumor"]) // 5]:
        engine = GradedEngine()
        engine.recipe = Recipe(
            size=64,
            liver_threshold=0.5,
            tumor_threshold=point["threshold"],
            tumor_peak=point["peak"],
            min_tumor_mm3=point["smallest_mm3"],
        )
        found = segment(Volume(one.hu, Spacing(2, 1, 1)), engine=engine)
        assert point["dice"] == dice(found.tumor, one.labels == 2)


def test_the_summary_is_of_the_chosen_settings(chosen):
    settings = {"peak": chosen.recipe.tumor_peak, "threshold": chosen.recipe.tumor_threshold}
    (best,) = (
        point
        for point in chosen.curves["tumor"]
        if settings.items() <= point.items()
        and point["smallest_mm3"] == chosen.recipe.min_tumor_mm3
    )
    assert chosen.summary["patients"] == 2
    assert chosen.summary["tumor"]["dice"]["mean"] == best["dice"]
    assert chosen.summary["tumor_free"]["false_tumor_ml"]["mean"] == pytest.approx(best["false_ml"])
    assert chosen.summary["liver"]["calibration"]["curve"]


def test_little_false_tumor_counts_before_dice():
    points = [thresholds.Point(0.3, 0.5, 0.0, 0.8, 3.0), thresholds.Point(0.5, 0.5, 0.0, 0.7, 1.0)]
    assert thresholds.best(points).threshold == 0.5
    assert thresholds.best(points[:1]).threshold == 0.3


def test_of_those_as_good_the_one_with_the_least_false_tumor_is_taken():
    best, nearly, worse = 0.7, 0.7 - 0.9 * thresholds.AS_GOOD, 0.7 - 1.1 * thresholds.AS_GOOD
    points = [
        thresholds.Point(0.5, 0.9, 0.0, dice, false_ml)
        for dice, false_ml in ((best, 1.5), (nearly, 1.0), (worse, 0.5))
    ]
    assert thresholds.best(points) == points[1]


def test_without_false_tumor_the_greatest_dice_decides():
    points = [thresholds.Point(0.3, None, None, 0.95), thresholds.Point(0.5, None, None, 0.951)]
    assert thresholds.best(points) == points[1]


def test_of_equals_the_one_that_asks_more_of_a_tumor_is_taken():
    settings = [(0.9, 0.0), (0.9, 50.0), (0.8, 50.0)]
    points = [thresholds.Point(0.5, *setting, 0.7, 0.0) for setting in settings]
    assert thresholds.best(points) == points[1]


def test_each_network_runs_once_on_each_slice():
    engine = GradedEngine()
    choose_thresholds([(case(), engine)], RECIPE)
    assert engine.slices <= 2 * SHAPE[0]


def test_the_engine_that_remembers_says_the_same():
    batch = np.random.default_rng(0).random((3, 64, 64, 3), np.float32)
    once, engine = CachedEngine(GradedEngine()), GradedEngine()
    once.look_for_tumors = True
    for network in ("liver", "tumor"):
        for part in (batch[:2], batch[1:], batch[::-1]):
            np.testing.assert_array_equal(
                once.predict(network, part), engine.predict(network, part)
            )


def test_without_validation_scans_it_says_so():
    with pytest.raises(ValueError, match="chosen on validation scans"):
        choose_thresholds([], RECIPE)


@pytest.fixture
def patients(tmp_path, monkeypatch):
    """A data folder of p1, p2 and p3 for training, val and testing, and weights."""
    sides = {"train": ["p1"], "val": ["p2"], "test": ["p3"]}
    (tmp_path / "split.json").write_text(json.dumps(sides))
    found = [case("p1"), replace(case("p1"), name="again"), case("p2", tumor=False), case("p3")]
    for module in (thresholds, datasets):
        monkeypatch.setattr(module, "read_data", lambda root: iter(found))
    names = {name: f"{name}.weights.h5" for name in ("liver", "tumor")}
    for name in names.values():
        (tmp_path / name).write_bytes(b"weights")
    write_config(tmp_path, RECIPE, names, {"data": "kept", "learned": ["p1"]})
    for folder, learned in (("a", ["p1"]), ("b", ["p2"])):
        (tmp_path / folder).mkdir()
        write_config(tmp_path / folder, RECIPE, {}, {"learned": learned})
    return tmp_path


def test_the_command_writes_the_choice_beside_the_files(patients, monkeypatch):
    monkeypatch.setattr(thresholds, "load_engine", lambda *_: GradedEngine())
    thresholds.main(["--data", str(patients), "--weights", str(patients)])
    weights = load_config(patients)
    assert weights.recipe.liver_threshold == 0.5
    assert weights.trained["data"] == "kept"
    assert weights.path("liver").is_file()
    stored = json.loads((patients / "config.json").read_text())["trained"]["thresholds"]
    (judge,) = stored["judges"]
    assert (judge["engine"], judge["patients"]) == (GradedEngine.identity, ["p2"])
    assert stored["of"] == {n: sha256(patients / f"{n}.weights.h5") for n in ("liver", "tumor")}
    assert stored["summary"] == json.loads(json.dumps(summarize(stored["patients"])))
    assert stored["summary"]["patients"] == 1
    assert len(stored["curves"]["liver"]) == len(thresholds.LIVER_THRESHOLDS)


def test_each_network_judges_the_patients_it_has_not_seen(patients, monkeypatch):
    engines = {}

    def load(_, folder):
        return engines.setdefault(folder.name, GradedEngine())

    monkeypatch.setattr(thresholds, "load_engine", load)
    options = ["--unseen", f"{patients / 'a'}=val", "--unseen", f"{patients / 'b'}=p1"]
    thresholds.main(["--data", str(patients), "--weights", str(patients), *options])
    judges = load_config(patients).trained["thresholds"]["judges"]
    assert [parse_held_out["patients"] for parse_held_out in judges] == [["p2"], ["p1"]]
    assert 0 < engines["a"].slices < engines["b"].slices  # p1 has two scans


@pytest.mark.parametrize(
    "learned", [{"learned": ["p2"]}, {"learned": [], "teacher": {"learned": ["p2"]}}]
)
def test_patients_whom_a_judge_or_its_teacher_learned_are_refused(learned, patients, monkeypatch):
    monkeypatch.setattr(thresholds, "load_engine", None)
    write_config(patients / "a", RECIPE, {}, learned)
    before = (patients / "config.json").read_text()
    with pytest.raises(ValueError, match="p2 were learned by the weights"):
        options = ["--unseen", f"{patients / 'a'}=val"]
        thresholds.main(["--data", str(patients), "--weights", str(patients), *options])
    assert (patients / "config.json").read_text() == before


@pytest.mark.parametrize(
    "named, why", [("p1,p3", "p3 is a test patient"), ("p1,p7,p8", "no patient p7, p8")]
)
def test_patients_for_testing_and_unknown_ones_are_refused(patients, named, why):
    with pytest.raises(ValueError, match=why):
        list(thresholds.read_unseen(patients, named))


@pytest.mark.parametrize("text", ["weights", "=val", "weights="])
def test_what_names_no_folder_or_no_patients_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        thresholds.main(["--data", "phantom", "--unseen", text])
    assert "is not FOLDER=PATIENTS" in capsys.readouterr().err
