"""All that is known of one segmented scan, carried together to whatever shows or writes it."""

from dataclasses import dataclass, field, replace

from ..volume import Segmentation, Volume, notices
from .measurements import Measurements, measure
from .metrics import Scores, add_surfaces, compare, without_tumors


@dataclass(frozen=True, eq=False)
class Findings:
    """A scan, its segmentation, and what was measured and scored.

    Attributes:
        volume: the scan.
        prediction: its segmentation.
        identity: of the weights and the engine that made it.
        measurements: of the prediction.
        truth: the ground truth on the same grid; None where there is none, as for the next two.
        truth_measurements: of the truth.
        scores: of the prediction against the truth; of tumors only where the truth has some, or
            where it was said that there are none.
    """

    volume: Volume
    prediction: Segmentation
    identity: str
    measurements: Measurements = field(repr=False)
    truth: Segmentation | None = None
    truth_measurements: Measurements | None = field(default=None, repr=False)
    scores: Scores | None = field(default=None, repr=False)

    @property
    def notices(self) -> list[str]:
        """What was assumed or chosen for the person, each sentence once."""
        return notices(self.volume, self.truth, self.prediction)

    def with_surfaces(self) -> "Findings":
        """The same with surface distances, which take longest, among the scores."""
        if self.scores is None or self.truth is None:
            return self
        scores = add_surfaces(self.scores, self.prediction, self.truth, self.volume)
        return replace(self, scores=scores)


def find(
    volume: Volume,
    prediction: Segmentation,
    identity: str,
    truth: Segmentation | None = None,
    surfaces: bool = True,
    counts_false: bool = False,
) -> Findings:
    """Measures a segmentation and, with ground truth, scores it.

    Args:
        volume, prediction, identity, truth: see `Findings`.
        surfaces: whether to measure surface distances now; `Findings.with_surfaces` can later.
        counts_false: whether a truth without tumors says that there are none, so that what was
            found is false; by default it says nothing about tumors.
    """
    measured = measure(prediction, volume)
    if truth is None:
        return Findings(volume, prediction, identity, measured)
    scores = compare(prediction, truth, volume, surfaces=surfaces)
    if not (counts_false or truth.tumor.any()):
        scores = without_tumors(scores)
    return Findings(volume, prediction, identity, measured, truth, measure(truth, volume), scores)
