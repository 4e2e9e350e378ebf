"""Everything liverseg refuses, at a glance.

UploadError                what a person uploaded cannot be used
├── NotAScan               no CT images in it: text, a mask, a localizer, a screenshot
├── WrongModality          images, but not CT: MR, PET, ultrasound, X-ray
├── NoDecoder              a compression that cannot be decoded here
├── BrokenFile             cut, damaged, encrypted or self-contradicting
├── TooLarge               over a limit of files, bytes or voxels
├── OverBudget             reading it took more time or memory than an upload may take
├── ReadingStopped         the process that read it ended, whoever is to blame
├── ChoiceNeeded           it can be read in several ways: `choice` lists them
├── NoSuchAnswer           what is given as an answer to a choice can be none
├── TruthMismatch          the ground truth does not belong to the scan's grid
├── UploadGone             what a step names is no upload that waits for this visitor
├── NoRoom                 memory or disk are taken by what others have open
├── Busy                   too much waits already
├── NothingOpen            a step needs a scan, but there is none any more
├── NotSegmented           a step needs a result, but the scan has none yet
└── Replaced               the scan of a step is not the visitor's any more
CannotStart                the page cannot be served here
WeightsError               the network's weights are missing, damaged or of another architecture
DataError                  a data set to train or evaluate on cannot be used

Each holds a `sentences.Sentence`: what was found, what is needed, what to do next, and never header
text, file names or UIDs. Programmer's errors are ValueError and TypeError.
"""

from typing import Any


class Refusal(Exception):
    """What a person has to be told; `str(error)` says it in English."""

    @property
    def code(self) -> str:
        """Of the sentence, for tests and programs, which must not hang on its wording."""
        return getattr(self.args[0], "code", "")


class UploadError(Refusal):
    """What a person uploaded cannot be used."""


class NotAScan(UploadError):
    """The upload holds no CT images."""


class WrongModality(UploadError):
    """The upload holds images of another modality."""


class NoDecoder(UploadError):
    """The pixel data is compressed in a way that cannot be decoded here."""


class BrokenFile(UploadError):
    """The upload is cut, damaged, encrypted or contradicts itself."""


class TooLarge(UploadError):
    """The upload is over a limit of files, bytes or voxels."""


class OverBudget(UploadError):
    """Reading it took more time or memory than an upload may take."""


class ReadingStopped(UploadError):
    """The process that read it ended before it was done; the files need not be to blame."""


class ChoiceNeeded(UploadError):
    """The upload can be read in several ways, and a person has to choose.

    Attributes:
        choice: a `reading.choice.Choice`: the question, the options, and the answer for each,
            which `read_scan(..., choose=answer)` and everything like it takes.
    """

    def __init__(self, message: str, choice: Any):
        super().__init__(message, choice)
        self.choice = choice

    def __str__(self) -> str:
        return str(self.args[0])


class NoSuchAnswer(UploadError):
    """What is given as an answer to a choice can be none."""


class TruthMismatch(UploadError):
    """The ground truth does not belong to the scan's grid."""


class UploadGone(UploadError):
    """What a step names is no file that this visitor has uploaded and not used yet."""


class NoRoom(UploadError):
    """Memory or disk are taken by what others have open."""


class Busy(UploadError):
    """Too much work waits already."""


class NothingOpen(UploadError):
    """A step needs a scan, but there is none any more."""


class NotSegmented(UploadError):
    """A step needs a result, but the scan has none yet."""


class Replaced(UploadError):
    """The scan of a step is not the visitor's any more, so what it found is of no use."""


class CannotStart(Refusal):
    """The page cannot be served here."""


class WeightsError(Refusal):
    """The weights are missing, damaged or made for another architecture or recipe."""


class DataError(Refusal, ValueError):
    """A data set to train or evaluate on cannot be used."""
