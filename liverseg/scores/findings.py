"""All that is known of one segmented scan, carried together to whatever shows or writes it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..network.known_patients import Fingerprints
from ..sentences import Sentence, say
from ..volume import Segmentation, Volume, name_of, notices
from .lesion_quality import LesionQuality, lesion_quality
from .measurements import Measurements, measure
from .metrics import Scores, add_surfaces, compare, without_tumors
from .surface_dice import SurfaceDice, surface_dice

LEAST_LIVER_ML = 300  # a grown person's has 800 or more, a small child's about this
CUT_PART = 0.25  # of the largest area: a whole liver ends in less than that


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
        quality: of the tumors one by one, where they are scored.
        surface_dice: of liver and tumors; None too where its library is not installed.
        remarks: what has to be said of the scores.
        synthetic: number of the synthetic case; None for an upload.
    """

    volume: Volume
    prediction: Segmentation
    identity: str
    measurements: Measurements = field(repr=False)
    truth: Segmentation | None = None
    truth_measurements: Measurements | None = field(default=None, repr=False)
    scores: Scores | None = field(default=None, repr=False)
    quality: LesionQuality | None = field(default=None, repr=False)
    surface_dice: tuple[SurfaceDice, SurfaceDice] | None = field(default=None, repr=False)
    remarks: tuple[Sentence, ...] = ()
    synthetic: int | None = None

    @property
    def name(self) -> str:
        """Of the scan; see `name_of`."""
        return name_of(self.volume, self.synthetic)

    @cached_property
    def notices(self) -> list[str]:
        """What was assumed or chosen for the person, each sentence once."""
        said = notices(self.volume, self.truth, self.prediction)
        return [*self.remarks, *said, *self._doubts()]

    def _doubts(self) -> list[str]:
        """Why what was found may be no whole liver."""
        areas = np.count_nonzero(self.prediction.labels, axis=(1, 2))
        if not areas.any():
            return [say("doubt.no_liver")]
        found: list[str] = []
        liver_ml = self.measurements.liver_ml
        if liver_ml is not None and liver_ml < LEAST_LIVER_ML:
            found.append(say("doubt.small_liver", ml=round(liver_ml)))
        if len(areas) > 1 and max(areas[0], areas[-1]) > CUT_PART * areas.max():
            found.append(say("doubt.cut_liver"))
        return found

    def with_surfaces(self) -> "Findings":
        """The same with surface distances, which take longest, among the scores."""
        if self.scores is None or self.truth is None:
            return self
        scores = add_surfaces(self.scores, self.prediction, self.truth, self.volume)
        dice = surface_dice(self.prediction, self.truth, self.volume)
        return replace(self, scores=scores, surface_dice=dice)


def find(
    volume: Volume,
    prediction: Segmentation,
    identity: str,
    truth: Segmentation | None = None,
    surfaces: bool = True,
    counts_false: bool = False,
    known: Fingerprints | None = None,
) -> Findings:
    """Measures a segmentation and, with ground truth, scores it.

    Args:
        volume, prediction, identity, truth: see `Findings`.
        surfaces: whether to measure surface distances now; `Findings.with_surfaces` can later.
        counts_false: whether a truth without tumors says that there are none, so that what was
            found is false; by default it says nothing about tumors.
        known: by what a scan is known whose patient the networks learned.
    """
    measured = measure(prediction, volume)
    if truth is None:
        return Findings(volume, prediction, identity, measured)
    scores = compare(prediction, truth, volume, surfaces=False)
    true, quality = measure(truth, volume), None
    if counts_false or truth.tumor.any():
        quality = lesion_quality(prediction.tumor, truth.tumor, true.lesions, scores.lesions)
    else:
        scores = without_tumors(scores)
    is_known = known is not None and known.know(volume.hu)
    findings = Findings(
        volume,
        prediction,
        identity,
        measured,
        truth,
        true,
        scores,
        quality,
        remarks=(say("truth.known_patient"),) if is_known else (),
    )
    return findings.with_surfaces() if surfaces else findings
