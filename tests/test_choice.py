"""What a person has to choose, and its answers, by every way that takes them."""

import json

import pytest

from liverseg.__main__ import ACCEPTED, REFUSED, main
from liverseg.errors import ChoiceNeeded, NoSuchAnswer
from liverseg.reading.choice import Answers, Choice, Question
from liverseg.reading.upload import read_scan
from liverseg.sentences import say
from tests.helpers.make_dicom import series, write

OPTIONS = tuple(say("choice.slices", count=count) for count in (4, 6))
SCAN = Choice(Question.SCAN, OPTIONS)


@pytest.fixture
def two_scans(tmp_path):
    write(series(4), tmp_path / "two" / "a")
    write(series(6, SeriesInstanceUID="1.2.3"), tmp_path / "two" / "b")
    return tmp_path / "two"


@pytest.mark.parametrize(
    "given", ["scan=1", ["scan=1"], "colors=0, scan=1", ["colors=0", "scan=1"], "scan=1 scan=1"]
)
def test_an_answer_counts_however_it_is_given(given):
    assert Answers(given).to(SCAN) == 1


def test_without_an_answer_nothing_is_guessed_and_the_answers_are_listed():
    with pytest.raises(ChoiceNeeded, match="2 scans: 4 slices, 6 slices") as needed:
        Answers("colors=1").to(SCAN)
    assert needed.value.choice.answers == ("scan=0", "scan=1")
    assert "scan=0, scan=1" in needed.value.choice.with_answers


def test_of_one_option_nobody_has_to_say_so():
    assert Answers().to(Choice(Question.SCAN, OPTIONS[:1])) == 0


def test_an_option_that_there_is_not_is_refused_and_asked_again():
    with pytest.raises(ChoiceNeeded, match="no such option; there are 2") as needed:
        Answers("scan=2").to(SCAN)
    assert needed.value.choice is SCAN


@pytest.mark.parametrize(
    "given", ["1", "scan", "scan=", "scan=-1", "scan=one", "series=1", "scan=٣", "scan=1 scan=0"]
)
def test_what_is_no_answer_is_refused_with_a_sentence(given):
    with pytest.raises(NoSuchAnswer):
        Answers(given)


def test_inspect_lists_the_answers_and_takes_one(two_scans, capsys):
    assert main(["inspect", str(two_scans)]) == REFUSED
    report = json.loads(capsys.readouterr().out)
    assert report["outcome"] == "refused"
    (answer,) = [
        one["answer"] for one in report["choice"]["options"] if one["text"].startswith("4 slices")
    ]
    assert main(["inspect", str(two_scans), "--choose", answer]) == ACCEPTED
    assert json.loads(capsys.readouterr().out)["shape_zyx"][0] == 4
    assert main(["inspect", str(two_scans), "--choose", "nonsense"]) == REFUSED
    assert "scan=1" in json.loads(capsys.readouterr().out)["message"]


def test_segment_says_how_to_answer(two_scans, tmp_path, capsys):
    assert main(["segment", str(two_scans), "--out", str(tmp_path / "out")]) == REFUSED
    assert "Answer with scan=0, scan=1" in capsys.readouterr().err


def test_python_takes_the_same_answers(two_scans):
    assert {read_scan(two_scans, choose=f"scan={k}").shape[0] for k in (0, 1)} == {4, 6}
