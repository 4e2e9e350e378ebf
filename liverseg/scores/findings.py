"""All that is known of one segmented scan, carried together to whatever shows or writes it."""

from dataclasses import dataclass, field, replace

from ..network.known_patients import Fingerprints
from ..sentences import Sentence, say
from ..volume import Segmentation, Volume, notices
from .measurements import Measurements, measure
from .metrics import Scores, add_surfaces, compare


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
        scores: of the prediction against the truth.
        remarks: what has to be said of the scores.
    """

    volume: Volume
    prediction: Segmentation
    identity: str
    measurements: Measurements = field(repr=False)
    truth: Segmentation | None = None
    truth_measurements: Measurements | None = field(default=None, repr=False)
    scores: Scores | None = field(default=None, repr=False)
    remarks: tuple[Sentence, ...] = ()

    @property
    def notices(self) -> list[str]:
        """What was assumed or chosen for the person, each sentence once."""
        return [*self.remarks, *notices(self.volume, self.truth, self.prediction)]

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
    known: Fingerprints | None = None,
) -> Findings:
    """Measures a segmentation and, with ground truth, scores it.

    Args:
        volume, prediction, identity, truth: see `Findings`.
        surfaces: whether to measure surface distances now; `Findings.with_surfaces` can later.
        known: by what a scan is known whose patient the networks learned.
    """
    measured = measure(prediction, volume)
    if truth is None:
        return Findings(volume, prediction, identity, measured)
    scores = compare(prediction, truth, volume, surfaces=surfaces)
    is_known = known is not None and known.know(volume.hu)
    remarks = (say("truth.known_patient"),) if is_known else ()
    of_truth = measure(truth, volume)
    return Findings(volume, prediction, identity, measured, truth, of_truth, scores, remarks)
