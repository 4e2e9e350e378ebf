"""What a person has to choose where an upload holds more than one scan."""

from ..errors import SeveralSeries
from ..sentences import Sentence, say


def describe_scan(slices: int, mm: float | None, rows: int, columns: int) -> Sentence:
    """What may be said about a scan: "28 slices, 5 mm, 512×512"."""
    about = {"slices": say("choice.slices", count=slices), "size": f"{columns}×{rows}"}
    if mm is None:
        return say("choice.scan", **about)
    return say("choice.scan_spaced", mm=mm, **about)


def choose(choices: list[Sentence], series: int | None) -> int:
    """The index of the scan to use; SeveralSeries where a person has to say which."""
    if series is None and len(choices) > 1:
        sentence = say("upload.choose_scan", count=len(choices), choices=tuple(choices))
        raise SeveralSeries(sentence, tuple(choices))
    if series is not None and not 0 <= series < len(choices):
        sentence = say("upload.no_such_scan", series=series, count=len(choices))
        raise SeveralSeries(sentence, tuple(choices))
    return series or 0
