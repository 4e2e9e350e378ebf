"""Masks that a person gives as a segmentation to look at, instead of the networks'.

They are read as a ground truth is, whatever their format, and say so: each sentence about them
names them, as it would else be taken for one about the truth.
"""

from dataclasses import replace

from ..errors import ChoiceNeeded, UploadError
from ..sentences import say
from ..volume import Segmentation, Volume
from .choice import Given
from .workers import Paths, Readers


def read_prediction(
    readers: Readers, paths: Paths, volume: Volume, choose: Given = ()
) -> Segmentation:
    """A segmentation on the scan's grid.

    Args:
        readers: which read it apart from this process.
        paths, volume, choose: as for `Readers.read_truth`.

    Raises:
        UploadError: as `Readers.read_truth` does, named as being about the segmentation.
    """
    try:
        masks = readers.read_truth(paths, volume, choose)
    except ChoiceNeeded:
        raise
    except UploadError as error:
        raise type(error)(_about(error.args[0])) from None
    return replace(masks, notices=tuple(map(_about, masks.notices)))


def _about(sentence: str) -> str:
    return say("label.about_prediction", sentence=sentence)
