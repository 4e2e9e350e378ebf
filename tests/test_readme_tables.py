"""Published numbers are those of the JSON files: in the README, the model card and on the page."""

import dataclasses
import json
import re

import pytest

from liverseg.errors import WeightsError
from liverseg.evaluation.consistency import differences
from liverseg.evaluation.model_card import model_card
from liverseg.evaluation.readme_tables import (
    AGREEMENT_FILE,
    BENCHMARKS,
    LOAD_FILE,
    README,
    agreement_text,
    filled,
    main,
)
from liverseg.evaluation.tables import (
    ablation_text,
    held_out_text,
    origin_text,
    protocol_text,
    reach_text,
)
from liverseg.network.weights import FOLDER, load_config
from liverseg.scores.results import ENGINES, NOT_MEASURED, about, headline
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


@pytest.mark.parametrize(("path", "marks"), [(README, 1), (BENCHMARKS, 5)], ids=["top", "tests"])
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


def test_every_published_summary_is_that_of_its_records():
    assert differences(load_config(FOLDER)) == []


def change(found, path, value):
    """Sets what is under the keys of a path."""
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = value


@pytest.mark.parametrize(
    ("file", "path", "value", "place"),
    [
        ("results.json", ("test", "fast", "summary", "tumor", "dice", "mean"), 0.7, "test, fast"),
        ("results.json", ("test", "reference", "summary", "liver", "hd95_mm", "n"), 4, "reference"),
        ("results.json", ("test", "fast", "summary", "lesions", "recall"), 0.6, "test, fast"),
        ("results.json", ("test", "fast", "patients", 0, "tumor", "scores", "dice"), 0.9, "fast"),
        ("ablations.json", ("rows", 3, "dice"), 0.3, "ablations.json, tumor, field"),
        ("ablations.json", ("rows", 0, "scans", "lits_000"), 0.99, "ablations.json, liver, base"),
        ("ablations.json", ("paper_protocol", "tumor", "copies"), 0.9, "paper_protocol, tumor, co"),
        ("config.json", ("recipe", "tumor_threshold"), 0.7, "config.json, thresholds"),
        ("config.json", ("trained", "thresholds", "summary", "tumor", "dice", "mean"), 0.6, "conf"),
        ("config.json", ("trained", "thresholds", "curves", "liver", 2, "dice"), 0.99, "config"),
    ],
)
def test_falsified_numbers_are_found_and_not_published(file, path, value, place, tmp_path, capsys):
    for name in ("config.json", "results.json", "ablations.json"):
        found = json.loads((FOLDER / name).read_text())
        if name == "ablations.json":  # which were measured before these were kept
            protocol = found["paper_protocol"]
            keys = ("copies", "never_seen", "whole_scans")
            found["paper_values"] = {
                network: {key: [protocol[network][key]] * 2 for key in keys} for network in protocol
            }
        if name == file:
            change(found, path, value)
        (tmp_path / name).write_text(json.dumps(found))
    (wrong,) = differences(load_config(tmp_path))
    assert place in wrong
    with pytest.raises(WeightsError, match="are never written by hand"):
        main(["--weights", str(tmp_path), "--readme", str(tmp_path / "none")])
    assert not (tmp_path / "README.md").exists()


RESULTS = load_config(FOLDER).measured("results.json")
SCORED = [p | {"engine": engine} for engine in ENGINES for p in RESULTS["test"][engine]["patients"]]


@pytest.mark.parametrize("patient", SCORED, ids=lambda p: f"{p['engine']}-{p['case']}")
def test_published_distances_and_sizes_are_in_the_millimeters_of_the_scan(patient):
    z_mm, *pixel_mm = patient["spacing_zyx_mm"]
    assert 0.5 < z_mm <= 5 and all(0.5 < side < 1 for side in pixel_mm)
    for structure in ("liver", "tumor"):
        scores = patient[structure]["scores"]
        if scores["dice"]:  # both there
            assert 0 < scores["assd_mm"] <= scores["hd95_mm"] <= scores["max_surface_mm"]
            truth, ml = patient[structure]["truth_voxels"], z_mm * pixel_mm[0] * pixel_mm[1] / 1000
            stored = (
                patient["liver_truth_ml"] if structure == "liver" else patient["tumor"]["truth_ml"]
            )
            assert stored == pytest.approx(truth * ml)
    assert all(lesion["long_axis_mm"] > 0 for lesion in patient["tumor"]["true_lesions"])


@pytest.mark.parametrize("patient", SCORED, ids=lambda p: f"{p['engine']}-{p['case']}")
def test_published_scores_used_the_spacing_that_the_data_states(patient, real_data):
    about = json.loads((real_data / "ct" / patient["case"] / "case.json").read_text())
    z_mm, *pixel_mm = about["spacing_zyx_mm"]
    assert patient["spacing_zyx_mm"] == pytest.approx([z_mm * about["z_step"], *pixel_mm])


def test_the_hosting_line_says_measured_only_where_a_class_was_measured():
    said = "[measured](tests/benchmarks/README.md)" in README.read_text(encoding="utf-8")
    assert said == (FOLDER / LOAD_FILE).is_file()


def test_the_engines_agreement_is_told_by_size_and_only_of_these_weights(weights):  # noqa: F811
    tumors = [{"mm": 4.0, "dice": 0.0}, {"mm": 8.0, "dice": 0.94}, {"mm": 30.0, "dice": 0.99}]
    scans = [
        {"case": "a", "liver": 0.999, "tumor": 0.96, "tumors": tumors},
        {"case": "b", "liver": 0.998, "tumor": None, "tumors": []},
    ]
    of = {engine: f"{engine}-{weights.identity(keys)}" for engine, keys in ENGINES.items()}
    path = weights.folder / AGREEMENT_FILE
    path.write_text(json.dumps({"weights": of, "data": "", "scans": scans}))
    text = agreement_text(weights)
    assert "is 0.998 to 0.999 for livers and 0.960 for the tumors of a scan" in text
    assert "| below 10 mm | 1 of 2 | 0.940 | 0.940 |" in text
    assert "| 10 to 20 mm | 0 of 0 | – | – |" in text
    path.write_text(json.dumps({"weights": of | {"fast": "fast-0"}, "data": "", "scans": scans}))
    assert agreement_text(weights) == "Not measured with these weights."


def test_the_looks_at_test_are_counted_and_listed(weights):  # noqa: F811
    seen = {"weights": {"fast": "fast-0"}, "dice": {"fast": {"liver": 0.9, "tumor": 0.5}}}
    looks = [seen | {"followed": ["a rule (after p3)"]}, seen | {"followed": []}]
    write_results(weights, looks=looks[:1])
    assert "flatter" not in reach_text(weights)
    write_results(weights, looks=[*looks, seen | {"followed": [], "again": "as before"}])
    assert "were scored with 2 weights and recipes in turn" in reach_text(weights)
    card = model_card(weights).text
    assert "| 1 | 0.900 | 0.500 | a rule (after p3) |" in card
    assert "| 3 | 0.900 | 0.500 | as before; nothing |" in card


def test_it_is_said_which_program_made_the_weights(weights):  # noqa: F811
    def with_trained(**trained):
        return dataclasses.replace(weights, trained=trained)

    stages = {"liver": [{"steps": 3000, "batch": 8}], "tumor": [{"steps": 2000, "batch": 16}]}
    other = origin_text(with_trained(stages=stages))
    assert "not made by `python -m liverseg train`" in other
    assert "24 thousand samples for the liver and 32 thousand for tumors" in other
    assert "draws 48 and 64 thousand" in other
    own = origin_text(with_trained(stages=stages, command="python -m liverseg train"))
    assert own == "The weights were made by `python -m liverseg train`."
    assert "314 thousand samples for the liver and 567 thousand" in origin_text(load_config(FOLDER))


def test_held_out_patients_whom_a_teacher_had_learned_are_not_called_unseen(weights):  # noqa: F811
    summary = write_results(weights)["summary"]
    for learned, said in ((["lits_008"], True), (["p1"], False)):
        judges = [{"engine": "fast-0", "patients": ["lits_007"], "teacher": {"learned": learned}}]
        trained = {"thresholds": {"summary": summary, "judges": judges}}
        text = held_out_text(dataclasses.replace(weights, trained=trained))
        assert ("not wholly unseen" in text) == said
    trained["thresholds"]["of"] = {"liver": "another file's"}
    assert held_out_text(dataclasses.replace(weights, trained=trained)) == ""
