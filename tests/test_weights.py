import json
from dataclasses import replace

import pytest

from liverseg.errors import WeightsError
from liverseg.network.recipe import SINCE_0_2, Recipe
from liverseg.network.weights import load_config, write_config

RECIPE = Recipe(size=32, filters=(4, 8))


@pytest.fixture
def folder(tmp_path):
    for name in ("liver", "tumor"):
        (tmp_path / f"{name}.weights.h5").write_bytes(name.encode())
    names = {name: f"{name}.weights.h5" for name in ("liver", "tumor")}
    write_config(tmp_path, RECIPE, names, {"epochs": 3})
    return tmp_path


def test_what_was_written_is_read_again(folder):
    weights = load_config(folder)
    assert weights.recipe == RECIPE
    assert weights.trained == {"epochs": 3}
    assert weights.path("liver") == folder / "liver.weights.h5"


def test_the_environment_may_name_the_folder(folder, monkeypatch):
    monkeypatch.setenv("LIVERSEG_WEIGHTS", str(folder))
    assert load_config().folder == folder


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="There are no weights here"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"recipe": {}}', '{"recipe": {}, "files": {"liver": "x"}}']
)
def test_a_damaged_config_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json of the weights cannot be read"):
        load_config(folder)


def test_weights_of_before_the_recipe_said_everything_still_load(folder):
    stored = json.loads((folder / "config.json").read_text())
    for name in SINCE_0_2:
        del stored["recipe"][name]
    (folder / "config.json").write_text(json.dumps(stored))
    recipe = load_config(folder).recipe
    assert recipe == RECIPE
    assert (recipe.fluid_hu, recipe.liver_reach_px, recipe.coarse_step_mm) == (20, 5, 10.0)
    assert (recipe.air_margin_px, recipe.liver_margin_px) == (8, 32)
    assert recipe.assumed_spacing == (2.5, 0.75, 0.75)


def test_a_recipe_that_lacks_anything_older_is_refused(folder):
    stored = json.loads((folder / "config.json").read_text())
    del stored["recipe"]["tumor_peak"]
    (folder / "config.json").write_text(json.dumps(stored))
    with pytest.raises(WeightsError, match="tumor_peak"):
        load_config(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"fluid_hu": 10},
        {"liver_reach_px": 4},
        {"coarse_step_mm": 5.0},
        {"air_margin_px": 9},
        {"liver_margin_px": 16},
        {"assumed_spacing_mm": (1.25, 0.75, 0.75)},
    ],
)
def test_whatever_decides_masks_changes_the_weights_identity(folder, change):
    weights = load_config(folder)
    changed = replace(weights, recipe=replace(weights.recipe, **change))
    assert changed.identity(("liver",)) != weights.identity(("liver",))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 33},
        {"window_hu": [5, 5]},
        {"unknown": 1},
        {"tumor_threshold": 2},
        {"tumor_margin_mm": 3.9},
        {"air_margin_px": -1},
        {"coarse_step_mm": 0},
        {"assumed_spacing_mm": [2.5, 0.75]},
        {"assumed_spacing_mm": [2.5, 0.75, 0]},
    ],
)
def test_an_absurd_recipe_is_refused(folder, change):
    stored = json.loads((folder / "config.json").read_text())
    stored["recipe"] |= change
    (folder / "config.json").write_text(json.dumps(stored))
    with pytest.raises(WeightsError, match="recipe"):
        load_config(folder)


def test_a_changed_file_is_refused(folder):
    (folder / "tumor.weights.h5").write_bytes(b"another")
    weights = load_config(folder)
    assert weights.path("liver").is_file()
    with pytest.raises(WeightsError, match="for tumor is damaged or was replaced"):
        weights.path("tumor")


def test_a_missing_file_is_refused(folder):
    (folder / "tumor.weights.h5").unlink()
    with pytest.raises(WeightsError, match="for tumor is missing"):
        load_config(folder).path("tumor")


def test_a_file_the_config_does_not_know_is_refused(folder):
    with pytest.raises(WeightsError, match="no file for liver_fast"):
        load_config(folder).path("liver_fast")


def test_the_identity_follows_the_files(folder):
    before = load_config(folder)
    assert before.identity(("liver", "tumor")) == before.identity(("liver", "tumor"))
    assert before.identity(("liver",)) != before.identity(("tumor",))


def test_the_identity_follows_the_thresholds(folder):
    before = load_config(folder)
    stored = json.loads((folder / "config.json").read_text())
    stored["recipe"]["tumor_threshold"] = 0.3
    (folder / "config.json").write_text(json.dumps(stored))
    assert load_config(folder).identity(("liver",)) != before.identity(("liver",))
