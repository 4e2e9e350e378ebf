"""Every sentence that a person can meet: a code and fields in the code, its words in a catalog.

    raise NotAScan(say("picture.sizes_differ", first="512×512", second="256×256"))

Nothing decides by wording: tests, keys and translations go by codes and fields. A catalog is a JSON
file of templates (`str.format`) by code. Where a field `count` decides between singular and plural,
as in i18next, there are two templates, CODE_one and CODE_other.
"""

import json
import string
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENGLISH = "en"


class Sentence(str):
    """What is said, in English, and what it was made from, so that it can be said otherwise.

    Attributes:
        code: in the catalog.
        fields: what the template needs: numbers, texts of ours, sentences, or tuples of these,
            which are listed. Never header text, file names or UIDs of an upload.
    """

    code: str
    fields: Mapping[str, Any]

    def __new__(cls, code: str, fields: Mapping[str, Any]) -> "Sentence":
        """KeyError where the catalog or the fields lack something."""
        sentence = super().__new__(cls, _in_words(code, fields, ENGLISH))
        sentence.code, sentence.fields = code, fields
        return sentence

    def __reduce__(self) -> tuple:
        """As its code and fields, for another process that says it again."""
        return Sentence, (self.code, dict(self.fields))

    def in_language(self, language: str) -> str:
        """The sentence in the words of another catalog."""
        return _in_words(self.code, self.fields, language)


def say(code: str, **fields: Any) -> Sentence:
    """The sentence of a code with its fields."""
    return Sentence(code, fields)


@cache
def catalog(language: str) -> Mapping[str, str]:
    """Templates by code."""
    return json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))


def _in_words(code: str, fields: Mapping[str, Any], language: str) -> str:
    words = catalog(language)
    key = code if code in words else f"{code}_{'one' if fields['count'] == 1 else 'other'}"
    return _Template(language).format(words[key], **fields)


class _Template(string.Formatter):
    """Lists are joined, and numbers of the format "short" have up to two decimals."""

    def __init__(self, language: str):
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """See `string.Formatter`."""
        if isinstance(value, Sentence):
            return value.in_language(self._language)
        if isinstance(value, tuple):
            parts = [self.format_field(part, format_spec) for part in value]
            return ("; " if any(", " in part for part in parts) else ", ").join(parts)
        if format_spec == "short":
            return f"{value:.2f}".rstrip("0").rstrip(".")
        return super().format_field(value, format_spec)
