"""What a person has to say where an upload can be read in several ways.

A choice has the same answers everywhere: the control of the page, `inspect`, the command line,
Python and the endpoint for programs take texts such as "scan=1", which the choice itself offers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..errors import ChoiceNeeded, NoSuchAnswer
from ..sentences import Sentence, say
from ..volume import Volume

Given = str | Iterable[str]  # answers, in one text or several
LONGEST = 1000  # letters of an answer
ANSWER = re.compile(r"([a-z]+)=(\d{1,6})", re.ASCII)


class Question(StrEnum):
    """What may be asked about one upload, each at most once."""

    SCAN = "scan"  # which series, phase, file or volume is the scan
    TRUTH = "truth"  # whether masks beside the scan are its ground truth
    MASKS = "masks"  # which masks are the ground truth
    COLORS = "colors"  # what two colors of a mask show


OF_TRUTH = {Question.MASKS, Question.COLORS}  # asked while a ground truth is read
OFFER = "upload.masks_beside"  # the code of the notice that masks may be used


@dataclass(frozen=True)
class Choice:
    """A question with its options.

    Attributes:
        question: what is asked.
        options: a sentence for each.
    """

    question: Question
    options: tuple[Sentence, ...]

    @property
    def asked(self) -> Sentence:
        """The question in few words: "Which scan?"."""
        return say(f"choice.{self.question}")

    @property
    def answers(self) -> tuple[str, ...]:
        """How each option is chosen."""
        return tuple(f"{self.question}={number}" for number in range(len(self.options)))

    @property
    def as_json(self) -> dict:
        """For `inspect`."""
        pairs = zip(self.answers, self.options, strict=True)
        return {
            "question": self.asked,
            "options": [{"answer": answer, "text": text} for answer, text in pairs],
        }

    @property
    def sentence(self) -> Sentence:
        """The question with its options."""
        return say(f"choose.{self.question}", count=len(self.options), choices=self.options)

    @property
    def with_answers(self) -> Sentence:
        """The same for whoever answers by program."""
        return say("choose.answer_with", asked=self.sentence, answers=self.answers)


class Answers:
    """What a person has said.

    Args:
        given: texts such as "scan=1", or several in one text.

    Raises:
        NoSuchAnswer: one of them can be no answer to anything.
    """

    def __init__(self, given: Given = ()):
        self._numbers: dict[Question, int] = {}
        for text in " ".join(as_texts(given))[:LONGEST].replace(",", " ").split():
            found = ANSWER.fullmatch(text)
            if found is None or found[1] not in list(Question):
                raise NoSuchAnswer(say("choose.not_understood", questions=tuple(Question)))
            question, number = Question(found[1]), int(found[2])
            if self._numbers.setdefault(question, number) != number:
                raise NoSuchAnswer(say("choose.twice", question=str(question)))

    def given(self, question: Question) -> int | None:
        """The number of the option that was chosen, or None."""
        return self._numbers.get(question)

    def to(self, choice: Choice) -> int:
        """The number of the option; where there is only one, nobody has to say so.

        Raises:
            ChoiceNeeded: nobody has answered, or with an option that there is not.
        """
        number, count = self.given(choice.question), len(choice.options)
        if number is None and count > 1:
            raise ChoiceNeeded(choice.sentence, choice)
        if number is not None and number >= count:
            sentence = say("choose.no_such_option", count=count, choices=choice.options)
            raise ChoiceNeeded(sentence, choice)
        return number or 0


def as_texts(given: Given) -> tuple[str, ...]:
    """Answers as texts, one or several in each."""
    return tuple(map(str, [given] if isinstance(given, str) else given))


def offered(volume: Volume) -> Choice | None:
    """What may be said about a scan that was read: whether masks beside it are its ground truth.

    The same files are then read as ground truth.
    """
    if not any(getattr(notice, "code", "") == OFFER for notice in volume.notices):
        return None
    return Choice(Question.TRUTH, (say("choice.truth_use"), say("choice.truth_leave")))


def describe_scan(slices: int, mm: float | None, rows: int, columns: int) -> Sentence:
    """What may be said about a scan: "28 slices, 5 mm, 512×512"."""
    about = {"slices": say("choice.slices", count=slices), "size": f"{columns}×{rows}"}
    if mm is None:
        return say("choice.scan_of", **about)
    return say("choice.scan_spaced", mm=mm, **about)


def numbered(options: list[Sentence]) -> tuple[Sentence, ...]:
    """Options of which equal ones are told apart by a number."""
    return tuple(
        say("choice.numbered", choice=text, number=number) if options.count(text) > 1 else text
        for number, text in enumerate(options, start=1)
    )
