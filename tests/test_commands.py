"""From an empty folder to weights and all that is said of them, by the printed commands."""

import json
import re
import shlex
from pathlib import Path

import pytest

from liverseg.__main__ import ACCEPTED, REFUSED, main
from liverseg.evaluation.consistency import differences
from liverseg.evaluation.model_card import model_card
from liverseg.network.engine import load_engine
from liverseg.network.weights import load_config
from liverseg.training import datasets
from liverseg.training.stages import QUICK, QUICK_RECIPE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
CARD = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def printed_commands(text: str) -> list[list[str]]:
    """The commands for developers in a text's blocks of code, without their comments."""
    lines = re.findall(r"^python -m liverseg (.*)$", text, re.M)
    return [shlex.split(line, comments=True) for line in lines]


RETRAIN = printed_commands(CARD.split("## Retrain")[1])


def test_the_readme_prints_commands_of_the_card():
    short = printed_commands(README)
    assert [command[0] for command in short] == ["train", "thresholds", "evaluate", "publish"]
    assert all(command in RETRAIN for command in short)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which all commands of the card were run on small phantoms."""
    folder = tmp_path_factory.mktemp("empty")
    cases = list(datasets.read_phantoms(8, shape=(12, 96, 96)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "read_phantoms", lambda *_, **options: iter(cases))
        patch.chdir(folder)
        (folder / "README.md").write_text(README, encoding="utf-8")
        for command in RETRAIN:
            words = [{"DIR": "phantom"}.get(word, word) for word in command]
            words += {"train": ["--quick"], "publish": ["--readme", "README.md"]}.get(words[0], [])
            assert main(words) == ACCEPTED, words
        yield folder


def test_they_make_weights_for_both_engines(folder):
    weights = load_config(folder / "WEIGHTS")
    assert weights.recipe.filters == QUICK_RECIPE.filters
    assert set(weights.files) == {"liver", "tumor", "liver_fast", "tumor_fast"}
    for engine in ("reference", "fast"):
        assert load_engine(engine, folder / "WEIGHTS").identity.startswith(engine)


def test_they_choose_on_val_and_score_test_whom_nothing_has_learned(folder):
    weights = load_config(folder / "WEIGHTS")
    sides, chosen = weights.trained["split"], weights.trained["thresholds"]
    (judge,) = chosen["judges"]
    results = json.loads((folder / "WEIGHTS" / "results.json").read_text())
    scored = {patient["patient"] for patient in results["test"]["fast"]["patients"]}
    assert (set(judge["patients"]), scored) == (set(sides["val"]), set(sides["test"]))
    assert set(weights.trained["learned"]) == set(sides["train"])
    assert not set(sides["train"]) & (set(sides["val"]) | scored)
    assert len(results["looks"]) == 1
    assert differences(weights) == []


def test_they_write_card_and_readme_of_these_weights(folder):
    weights = load_config(folder / "WEIGHTS")
    card = (folder / "WEIGHTS" / "README.md").read_text(encoding="utf-8")
    assert card == str(model_card(weights))
    assert "The weights were made by `python -m liverseg train`" in card
    assert f"{QUICK[0].steps} steps of {QUICK[0].batch} samples" in card
    assert "phantom_" in card and "ircad_08" not in card and "flatter" not in card
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme != README and readme.count("<!-- measured") == README.count("<!-- measured")
    assert "patients that the networks never saw (test patients, fast engine)" in readme


def test_each_refuses_what_was_made_of_other_data(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "LiTS").mkdir()
    for network in ("liver", "tumor"):
        assert main(["train", network, "--quick", "--data", "LiTS", "--work", "WORK"]) == REFUSED
        assert "LiTS holds no slice folders" in capsys.readouterr().err
    assert main(["train", "tumor", "--data", "phantom", "--work", "WORK"]) == REFUSED
    assert "was trained with another recipe" in capsys.readouterr().err
    assert main(["thresholds", "--data", "LiTS", "--weights", "WEIGHTS"]) == REFUSED
    assert main(["evaluate", "--data", "LiTS", "--weights", "WEIGHTS"]) == REFUSED


def test_a_teacher_who_has_learned_patients_that_are_held_out_is_refused(
    folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    config = json.loads((folder / "WEIGHTS" / "config.json").read_text())
    config["trained"]["learned"] = config["trained"]["split"]["val"]
    (folder / "OLDER").mkdir()
    (folder / "OLDER" / "config.json").write_text(json.dumps(config))
    words = ["train", "tumor", "--quick", "--data", "phantom", "--work", "WORK"]
    assert main([*words, "--teacher", "OLDER"]) == REFUSED
    assert f"The teacher has learned {config['trained']['learned'][0]}" in capsys.readouterr().err
