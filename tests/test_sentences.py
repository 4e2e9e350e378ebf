"""The catalog of sentences: complete, used, and the same in every part that a person meets."""

import ast
import functools
import re
import string
from collections import Counter

import pytest

from liverseg.errors import NotAScan
from liverseg.reading.choice import Question
from liverseg.reading.kinds import LeftOut
from liverseg.reading.left_out import counted
from liverseg.reading.picture_masks import NAMED
from liverseg.sentences import HERE, catalog, say

PACKAGE = HERE.parent
ROOT = PACKAGE.parent
BESIDE = [ROOT / "app.py", ROOT / "tests" / "tools" / "install_notebook.py"]
MODULES = [*BESIDE, *PACKAGE.rglob("*.py")]
LANGUAGES = [path.stem for path in HERE.glob("*.json")]
ENGLISH = catalog("en")


@functools.cache
def codes_in_the_package() -> dict[str, set[str]]:
    """Every literal code with the fields that are given to it."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_said = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say"
            if is_said and isinstance(node.args[0], ast.Constant):
                fields = {keyword.arg for keyword in node.keywords}
                found.setdefault(node.args[0].value, set()).update(fields)
    return found


def strings_in_the_package() -> set[str]:
    return {
        node.value
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def fields_of(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def templates(code: str) -> list[str]:
    keys = (code, f"{code}_one", f"{code}_other")
    return [ENGLISH[key] for key in keys if key in ENGLISH]


@pytest.mark.parametrize("code", sorted(codes_in_the_package()))
def test_what_is_said_is_in_the_catalog_with_its_fields(code):
    given = codes_in_the_package()[code]
    assert templates(code)
    if None not in given:  # of **fields
        assert all(fields_of(template) <= given for template in templates(code))


def test_the_catalog_holds_nothing_that_nobody_says():
    literal = strings_in_the_package()
    said = literal | {f"kind.{kind}" for kind in LeftOut}
    said |= {f"{part}.{question}" for part in ("choice", "choose") for question in Question}
    said |= {f"choice.color_{name}" for name in NAMED}
    assert {re.sub("_(one|other)$", "", key) for key in ENGLISH if key not in said} <= said


@pytest.mark.parametrize("kind", LeftOut)
def test_each_kind_that_is_left_out_has_words_for_one_and_for_more(kind):
    one, more = (counted(Counter({kind: count})) for count in (1, 3))
    assert one[0].startswith("1 ")
    assert more[0].startswith("3 ")
    assert one[0][2:] != more[0][2:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_codes_and_fields(language):
    words = catalog(language)
    assert words.keys() == ENGLISH.keys()
    for code, template in words.items():
        assert fields_of(template) == fields_of(ENGLISH[code])


def test_a_sentence_is_its_words_and_knows_what_it_was_made_from():
    sentence = say("truth.outside_slices", count=1)
    assert sentence == "1 mask lies where the scan has no slice."
    assert say("truth.outside_slices", count=2) == "2 masks lie where the scan has no slice."
    assert (sentence.code, sentence.fields) == ("truth.outside_slices", {"count": 1})
    assert sentence.in_language("en") == sentence


def test_an_error_knows_the_code_of_its_sentence():
    error = NotAScan(say("hu.range", low=0, high=9))
    assert error.code == "hu.range"
    assert str(error).startswith("The values go from 0 to 9")


def test_lists_are_joined_so_that_their_parts_can_be_told_apart():
    kinds = say("upload.left_out", found=(say("kind.report", count=1), say("kind.mr", count=2)))
    assert kinds == "Left out: 1 report, 2 MR images."
    scans = tuple(
        say("choice.scan_of", slices=say("choice.slices", count=n), size="2×2") for n in (1, 2)
    )
    assert say("choose.scan", count=2, choices=scans).endswith(
        ": 1 slice, 2×2; 2 slices, 2×2. Choose one of them."
    )


def test_a_code_without_words_is_a_mistake_of_the_program():
    with pytest.raises(KeyError):
        say("no.such_code")


@pytest.mark.parametrize("code", [key for key in ENGLISH if not key.startswith("kind.")])
def test_sentences_are_plain_american_english(code):
    text = ENGLISH[code]
    assert not re.search(r"colour|grey|centre|neighbour|tumour|metre\b|'s headers?\b.*'s", text)
    assert not re.search(r"\b(his|her|he|she)\b", text)
    if code.split(".")[0] not in ("choice", "label", "stage"):
        assert text.endswith((".", "?", "{limits}", "{advice}", "**", "```\n"))


def test_only_catalogs_hold_the_sentences_of_refusals():
    """No error is raised with English text of its own."""
    names = {"UploadError", "WeightsError", "DataError"}
    errors = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    names |= {node.name for node in errors.body if isinstance(node, ast.ClassDef)}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                where = f"{path.name}:{node.lineno}"
                assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr), where
