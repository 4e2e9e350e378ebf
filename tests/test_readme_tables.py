"""Published numbers are those of the JSON files: in the README, the model card and on the page."""

import json
import re

import pytest

from liverseg.evaluation.model_card import model_card
from liverseg.evaluation.readme_tables import BENCHMARKS, README, filled, main
from liverseg.evaluation.tables import ablation_text, protocol_text, reach_text
from liverseg.network.weights import FOLDER, load_config
from liverseg.scores.results import NOT_MEASURED, about, headline
from tests.test_model_card import weights, write_results  # noqa: F401, a fixture

MARKED = """Before
<!-- measured: reach -->
| liver | 0.999 |
<!-- end -->
Between 0.5
<!-- measured: speed -->
<!-- end -->
After
"""
SETTINGS = {
    "recipe": {"filters": [8, 16, 32]},
    "stage": {"size": 64, "steps": 300, "batch": 8},
    "train": ["p1", "p5"],
    "val": ["p2"],
}
PROTOCOL = {"reported": 0.9776, "copies": 0.912, "never_seen": 0.512, "whole_scans": 0.312}


def row(network, name, change, dice) -> dict:
    return {"network": network, "name": name, "change": change, "dice": dice, "scans": {}}


def write_ablations(weights, **settings):  # noqa: F811
    rows = [
        row("liver", "base", "liverseg's choices", 0.8),
        row("tumor", "base", "liverseg's choices", 0.4),
        row("liver", "gray", "one slice three times", 0.7611),
        row("liver", "rounded", "rounded", 0.79999),
    ]
    protocol = {network: PROTOCOL | {"slices": 77} for network in ("liver", "tumor")}
    found = {"settings": SETTINGS | settings, "paper_protocol": protocol, "rows": rows}
    (weights.folder / "ablations.json").write_text(json.dumps(found))


@pytest.mark.parametrize(("path", "marks"), [(README, 1), (BENCHMARKS, 3)], ids=["top", "tests"])
def test_the_readmes_say_what_was_measured(path, marks):
    text = path.read_text(encoding="utf-8")
    assert text.count("<!-- measured:") == marks
    assert text == filled(text, load_config(FOLDER)), "run python -m liverseg publish"


def test_the_small_table_has_what_is_reached_and_what_the_paper_reports(weights):  # noqa: F811
    found = write_results(weights)
    write_ablations(weights)
    text = reach_text(weights)
    low, high = found["summary"]["liver"]["dice"]["ci95"]
    assert f"| liver | **0.933** ({low:.3f} to {high:.3f}) | 0.911 | 0.978 |" in text
    assert headline(weights) in text


def test_the_model_card_says_what_was_measured():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert card == str(model_card(load_config(FOLDER))), "run python -m liverseg publish"


def test_the_page_says_what_was_measured(tmp_path):
    from app import Page
    from liverseg.page.service import Service

    page = Page(Service(tmp_path, tmp_path, tmp_path))
    texts = [str(getattr(block, "value", "")) for block in page.blocks.blocks.values()]
    assert sum(about() in text for text in texts) == 1


@pytest.mark.parametrize("path", [README, BENCHMARKS], ids=["top", "tests"])
def test_the_readmes_have_no_score_outside_the_marks(path):
    text = re.sub(r"<!-- measured.*?<!-- end -->", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert not re.findall(r"\b0\.\d{2,4}\b", text)


def test_both_columns_come_from_the_files(weights):  # noqa: F811
    found = write_results(weights)
    write_ablations(weights)
    lines = protocol_text(weights).splitlines()
    assert "| liver, the paper reports | 0.978 | – | – |" in lines
    assert "| tumor, reproduced here on a small scale | 0.912 | 0.512 | 0.312 |" in lines
    low, high = found["summary"]["liver"]["dice"]["ci95"]
    assert f"| liver, **liverseg** | – | – | 0.933 ({low:.3f} to {high:.3f}) |" in lines
    assert any("77 slices" in line and "64 × 64" in line and "300 steps" in line for line in lines)


def test_ablations_are_compared_with_their_network_s_first_row(weights):  # noqa: F811
    write_ablations(weights)
    lines = ablation_text(weights).splitlines()
    assert "| liver | liverseg's choices | 0.800 | – |" in lines
    assert "| liver | one slice three times | 0.761 | -0.039 |" in lines
    assert "| liver | rounded | 0.800 | +0.000 |" in lines


def test_patients_of_ablations_are_counted_as_persons_not_as_volumes(weights):  # noqa: F811
    write_ablations(
        weights, train=["lits_007", "lits_008", "lits_010", "lits_014", "lits_015", "p"]
    )
    assert "on 3 patients, scored on the 1 validation patients" in ablation_text(weights)


def test_what_was_not_measured_is_not_said(weights):  # noqa: F811
    assert headline(weights) == NOT_MEASURED
    assert not re.findall(r"0\.\d", protocol_text(weights) + ablation_text(weights))


def test_the_headline_names_the_worst_patient_s_score(weights):  # noqa: F811
    write_results(weights)
    reached = "0.933 (at worst 0.911) for the liver and 0.123 (at worst 0.123) for tumors"
    assert reached in headline(weights)


def test_the_page_s_engine_comes_first_and_the_other_is_not_kept_quiet(weights):  # noqa: F811
    both = {engine: write_results(weights, engine) for engine in ("reference", "fast")}
    write_results(weights, test=both)
    first, second = [line for line in protocol_text(weights).splitlines() if "at worst" in line]
    assert first == headline(weights) and "(test patients, fast engine)" in first
    assert second.startswith("With the reference engine on the same patients, Dice was 0.933")


def test_only_marked_parts_change_and_a_second_time_nothing(weights):  # noqa: F811
    write_results(weights)
    once = filled(MARKED, weights)
    assert once == filled(once, weights)
    assert "0.999" not in once
    assert [line in once.splitlines() for line in ("Before", "Between 0.5", "After")] == [True] * 3
    with pytest.raises(KeyError):
        filled(MARKED.replace("reach", "wishes"), weights)


def test_the_command_writes_readme_and_card(weights, tmp_path):  # noqa: F811
    write_results(weights)
    readme = tmp_path / "TOP.md"
    readme.write_text(MARKED, encoding="utf-8")
    main(["--weights", str(weights.folder), "--readme", str(readme)])
    assert readme.read_text(encoding="utf-8") == filled(MARKED, weights)
    assert (weights.folder / "README.md").read_text(encoding="utf-8") == str(model_card(weights))
