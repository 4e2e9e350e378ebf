"""Losses of the two networks, in keras.ops."""

from collections.abc import Callable

from keras import ops

from ..model import Tensor

MISSED = {"liver": 0.5, "tumor": 0.6}  # what a missed voxel costs of 1; 0.5 is the Dice loss
ENTROPY = {"liver": 1.0, "tumor": 2.0}  # weight of the cross-entropy beside it


def overlap_loss(truth: Tensor, probability: Tensor, weight: Tensor, missed: float = 0.5) -> Tensor:
    """1 - Tversky index over the whole batch, which is stabler than per slice for empty slices.

    T = tp / (tp + missed fn + (1 - missed) fp); with missed = 0.5 the soft Dice (Salehi et al.,
    2017). One voxel is added above and below, so that nothing wanted and nothing said costs 0.

    Args:
        truth, probability, weight: tensors of one shape.
        missed: share of the false negatives.
    """
    hit = ops.sum(weight * truth * probability)
    false_negative = ops.sum(weight * truth * (1 - probability))
    false_positive = ops.sum(weight * (1 - truth) * probability)
    errors = missed * false_negative + (1 - missed) * false_positive
    return 1 - (hit + 1) / (hit + errors + 1)


def make_loss(network: str, missed: float | None = None) -> Callable:
    """The loss of one network: overlap plus cross-entropy.

    Args:
        network: which.
        missed: what a missed voxel costs of 1, instead of `MISSED[network]`.

    Returns:
        A function of target (n, y, x, 2), the mask and each pixel's weight, and of probability
        (n, y, x, 1).
    """
    missed = missed or MISSED[network]

    def loss(target: Tensor, probability: Tensor) -> Tensor:
        truth, weight = target[..., :1], target[..., 1:]
        entropy = weight * ops.binary_crossentropy(truth, probability)
        overlap = overlap_loss(truth, probability, weight, missed)
        return overlap + ENTROPY[network] * ops.sum(entropy) / ops.sum(weight)

    return loss
