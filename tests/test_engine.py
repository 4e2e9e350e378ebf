"""The engines with random weights of a tiny recipe."""

import dataclasses
import logging
import shutil

import numpy as np
import pytest

from liverseg.errors import WeightsError
from liverseg.network import engine as engine_module
from liverseg.network.engine import load_engine
from liverseg.network.recipe import Recipe
from liverseg.network.weights import write_config

RECIPE = Recipe(size=32, filters=(4, 8))
NAMES = {"liver": "liver.weights.h5", "tumor": "tumor.weights.h5"}


def save_random(folder, filters):
    from liverseg.model import build_resunet

    for name in NAMES.values():
        build_resunet((RECIPE.size, RECIPE.size, 3), filters).save_weights(folder / name)
    write_config(folder, RECIPE, NAMES, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_random(folder, RECIPE.filters)
    return folder


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((3, RECIPE.size, RECIPE.size, 3), np.float32)


def test_the_reference_is_the_keras_network(folder, batch):
    from liverseg.model import build_resunet

    reference = load_engine("reference", folder)
    model = build_resunet((RECIPE.size, RECIPE.size, 3), RECIPE.filters)
    for network, name in NAMES.items():
        model.load_weights(folder / name)
        expected = np.asarray(model(batch, training=False))[..., 0]
        found = np.stack(reference.predict(network, batch))
        assert found.shape == (3, 32, 32)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_two_networks_have_their_own_weights(folder, batch):
    reference = load_engine("reference", folder)
    liver, tumor = (np.stack(reference.predict(name, batch)) for name in ("liver", "tumor"))
    assert np.abs(liver - tumor).max() > 0.01


def test_an_engine_is_made_once(folder):
    assert load_engine("reference", folder) is load_engine("reference", folder)


def test_weights_that_changed_meanwhile_get_another_engine(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "weights")
    before = load_engine("reference", tmp_path / "weights")
    chosen = dataclasses.replace(RECIPE, liver_threshold=0.3)
    write_config(tmp_path / "weights", chosen, NAMES, {})
    now = load_engine("reference", tmp_path / "weights")
    assert now.recipe == chosen
    assert now.identity != before.identity


def test_auto_falls_back_to_the_reference_and_says_so(folder, caplog):
    with caplog.at_level(logging.WARNING):
        engine = load_engine("auto", folder)
    assert engine.identity.startswith("reference-")
    assert "slower reference engine" in caplog.text


@pytest.mark.parametrize("filters", [(4, 8, 16), (4,), (4, 16)])
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_architecture_are_refused(tmp_path, filters):
    save_random(tmp_path, filters)
    with pytest.raises(WeightsError, match="another architecture"):
        load_engine("reference", tmp_path)


def test_an_unknown_engine_is_a_programmers_error(folder):
    with pytest.raises(ValueError, match="'quick'"):
        load_engine("quick", folder)


def test_the_number_of_threads_can_be_set(monkeypatch):
    monkeypatch.setenv("LIVERSEG_THREADS", "3")
    assert engine_module.thread_count() == 3
    monkeypatch.delenv("LIVERSEG_THREADS")
    assert engine_module.thread_count() >= 1


@pytest.mark.parametrize("words", ["all", "0", "-2", "1.5"])
def test_a_number_of_threads_that_is_none_is_said_and_left_aside(monkeypatch, caplog, words):
    every = engine_module.thread_count()
    monkeypatch.setenv("LIVERSEG_THREADS", words)
    assert engine_module.thread_count() == every
    assert "LIVERSEG_THREADS is no number from 1" in caplog.text
