"""How well a prediction agrees with the truth: overlap, surfaces, lesions.

Undefined is None, never 0 or 1: two empty masks have no Dice, a mask without its counterpart has
no surface distance. Truth and prediction are compared on the scan's own grid.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

from ..volume import LIVER, TUMOR, Segmentation, Volume, common_box
from .lesions import number_lesions, pair_lesions
from .surfaces import surface_distances

MISSED = "missed"
DETECTED_IOU = 0.5  # LiTS: a lesion is detected where the pair's IoU is above this


@dataclass(frozen=True)
class OverlapScores:
    """The voxels two masks share; TP, FP, FN, TN count voxels.

    Attributes:
        dice: 2 TP / (2 TP + FP + FN); None where both masks are empty.
        iou: TP / (TP + FP + FN); None where both are empty.
        precision: TP / (TP + FP); None where nothing was predicted.
        recall: TP / (TP + FN); None where the truth is empty.
        f1: the same number as Dice, under the name the paper also lists.
        accuracy: (TP + TN) / all; near 1 for any small organ, so it says little; None where the
            truth says nothing about the structure.
    """

    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    accuracy: float | None


@dataclass(frozen=True)
class StructureScores(OverlapScores):
    """Liver or tumors of a whole scan.

    Attributes:
        voe: volumetric overlap error, 1 - IoU.
        rvd: relative volume difference, (prediction - truth) / truth; negative is too small.
        assd_mm: average symmetric surface distance.
        hd95_mm: 95th percentile of the surface distances, the larger of both directions.
        max_surface_mm: the largest surface distance, Hausdorff's.

    The three distances are None where a mask is empty or a spacing unknown; on a single slice
    they are those of the contours.
    """

    voe: float | None
    rvd: float | None
    assd_mm: float | None = None
    hd95_mm: float | None = None
    max_surface_mm: float | None = None


@dataclass(frozen=True)
class SliceScores:
    """One slice; z counts from the feet."""

    z: int
    liver: OverlapScores
    tumor: OverlapScores


@dataclass(frozen=True)
class LesionMatch:
    """What became of one lesion.

    Attributes:
        number: 1 for the largest; for predicted lesions the number that `measure` gives too.
        status: "detected" (IoU above 0.5), "touched" (above 0), or "missed" for a lesion of the
            truth and "false" for a predicted one; "unknown" where the truth names no tumors.
        iou: of the pair it is part of, lesions that it merges with included; 0 for none.
        voxels: its size.
    """

    number: int
    status: str
    iou: float
    voxels: int


@dataclass(frozen=True)
class LesionScores:
    """Detection of lesions as the LiTS challenge defines it (see `lesions.pair_lesions`).

    Recall counts lesions of the truth and precision predicted lesions, so that neither passes 1
    where several lesions are merged into one pair; without merging both are the challenge's.

    Attributes:
        precision, recall: at IoU above 0.5; None where there is nothing to count.
        precision_touched, recall_touched: at IoU above 0.
        predicted, truth: every lesion, the largest first.
    """

    precision: float | None
    recall: float | None
    precision_touched: float | None
    recall_touched: float | None
    predicted: tuple[LesionMatch, ...]
    truth: tuple[LesionMatch, ...]


@dataclass(frozen=True)
class Scores:
    """All that `compare` finds."""

    liver: StructureScores
    tumor: StructureScores
    lesions: LesionScores
    slices: tuple[SliceScores, ...]

    def to_dict(self) -> dict:
        """Ready for JSON; None stays null."""
        return asdict(self)


def compare(
    prediction: Segmentation, truth: Segmentation, volume: Volume, surfaces: bool = True
) -> Scores:
    """Scores a prediction against the truth, per scan, per slice and per lesion.

    Args:
        prediction, truth: on the volume's grid.
        volume: for its spacing.
        surfaces: whether to measure surface distances now; `add_surfaces` can do it later.

    Raises:
        ValueError: the three differ in shape.
    """
    if not prediction.labels.shape == truth.labels.shape == volume.shape:
        raise ValueError(
            "prediction, truth and volume must have one shape, got "
            f"{prediction.labels.shape}, {truth.labels.shape}, {volume.shape}"
        )
    pairs = _label_pairs(prediction.labels, truth.labels)
    box = common_box(prediction.labels, truth.labels)
    scores = Scores(
        liver=_structure(_confusion(pairs.sum(axis=0), first=1)),
        tumor=_structure(_confusion(pairs.sum(axis=0), first=2)),
        lesions=detect_lesions(prediction.labels[box] == TUMOR, truth.labels[box] == TUMOR),
        slices=tuple(
            SliceScores(z, _overlap(_confusion(pair, first=1)), _overlap(_confusion(pair, first=2)))
            for z, pair in enumerate(pairs)
        ),
    )
    return add_surfaces(scores, prediction, truth, volume) if surfaces else scores


def without_tumors(scores: Scores) -> Scores:
    """The same scores where the truth names no tumors: none of tumors is defined.

    A truth of the liver alone says nothing about tumors, so what was found in it is not false.
    """
    nothing = dict.fromkeys(vars(scores.slices[0].tumor))
    return replace(
        scores,
        tumor=replace(scores.tumor, **dict.fromkeys(vars(scores.tumor))),
        lesions=replace(
            scores.lesions,
            precision=None,
            recall=None,
            precision_touched=None,
            recall_touched=None,
            predicted=tuple(replace(one, status="unknown") for one in scores.lesions.predicted),
        ),
        slices=tuple(replace(one, tumor=OverlapScores(**nothing)) for one in scores.slices),
    )


def dice(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Dice of two bool arrays of one shape; None where both are empty."""
    counts = (int(np.count_nonzero(mask)) for mask in (prediction & truth, prediction, truth))
    return dice_of_counts(*counts)


def dice_of_some(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice of two bool arrays of one shape, of which at least one is not empty."""
    found = dice(prediction, truth)
    assert found is not None
    return found


def dice_of_counts(shared: int, prediction: int, truth: int) -> float | None:
    """Twice the shared voxels over the voxels of both masks; None where both are empty."""
    return _ratio(2 * shared, prediction + truth)


def add_surfaces(
    scores: Scores, prediction: Segmentation, truth: Segmentation, volume: Volume
) -> Scores:
    """The same scores with surface distances in mm; seconds for a large scan."""
    box = common_box(prediction.labels, truth.labels)
    found, true = prediction.labels[box], truth.labels[box]
    return replace(
        scores,
        liver=_with_surfaces(scores.liver, found >= LIVER, true >= LIVER, volume),
        tumor=_with_surfaces(scores.tumor, found == TUMOR, true == TUMOR, volume),
    )


def detect_lesions(prediction: np.ndarray, truth: np.ndarray) -> LesionScores:
    """Lesion detection for two (z, y, x) bool tumor masks."""
    pairing = pair_lesions(prediction, truth)
    predicted = _matches(pairing.prediction_iou, pairing.prediction_voxels, "false")
    true = _matches(pairing.truth_iou, pairing.truth_voxels, MISSED)
    return LesionScores(
        precision=_share(pairing.prediction_iou > DETECTED_IOU),
        recall=_share(pairing.truth_iou > DETECTED_IOU),
        precision_touched=_share(pairing.prediction_iou > 0),
        recall_touched=_share(pairing.truth_iou > 0),
        predicted=predicted,
        truth=true,
    )


def missed_lesions(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The lesions of the truth whose status is "missed", as a mask.

    Args:
        prediction, truth: (z, y, x) bool.
    """
    numbers, _ = number_lesions(truth)
    missed = [one.number for one in detect_lesions(prediction, truth).truth if one.status == MISSED]
    return np.isin(numbers, missed)


def _matches(ious: np.ndarray, voxels: np.ndarray, unmatched: str) -> tuple[LesionMatch, ...]:
    def status(iou: float) -> str:
        return "detected" if iou > DETECTED_IOU else "touched" if iou > 0 else unmatched

    return tuple(
        LesionMatch(number, status(iou), float(iou), int(count))
        for number, (iou, count) in enumerate(zip(ious, voxels, strict=True), start=1)
    )


def _share(hits: np.ndarray) -> float | None:
    return float(hits.mean()) if hits.size else None


def _label_pairs(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(z, truth label, predicted label) int: voxels of each slice with that pair of labels."""
    return np.array(
        [
            np.bincount((3 * true + predicted).ravel(), minlength=9).reshape(3, 3)
            for predicted, true in zip(prediction, truth, strict=True)
        ]
    )


def _confusion(pairs: np.ndarray, first: int) -> tuple[int, int, int, int]:
    """TP, FP, FN, TN of a (truth, prediction) table; labels from `first` on are the structure."""
    inside, outside = slice(first, None), slice(None, first)
    return (
        int(pairs[inside, inside].sum()),
        int(pairs[outside, inside].sum()),
        int(pairs[inside, outside].sum()),
        int(pairs[outside, outside].sum()),
    )


def _overlap(confusion: tuple[int, int, int, int]) -> OverlapScores:
    tp, fp, fn, tn = confusion
    dice = dice_of_counts(tp, tp + fp, tp + fn)
    return OverlapScores(
        dice=dice,
        iou=_ratio(tp, tp + fp + fn),
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=dice,
        accuracy=(tp + tn) / (tp + fp + fn + tn),
    )


def _structure(confusion: tuple[int, int, int, int]) -> StructureScores:
    overlap = _overlap(confusion)
    tp, fp, fn, _ = confusion
    return StructureScores(
        **asdict(overlap),
        voe=None if overlap.iou is None else 1 - overlap.iou,
        rvd=_ratio(fp - fn, tp + fn),
    )


def _with_surfaces(
    scores: StructureScores, prediction: np.ndarray, truth: np.ndarray, volume: Volume
) -> StructureScores:
    distances = surface_distances(prediction, truth, volume)
    return replace(scores, **distances._asdict()) if distances else scores


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
