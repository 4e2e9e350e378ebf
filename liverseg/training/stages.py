"""How long each network is trained, and on what: what `train` does unless told otherwise."""

from dataclasses import dataclass

from ..network.recipe import Recipe

TRAIN = "python -m liverseg train"


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        size: of the samples in pixels.
        batch: samples in a step.
        steps: how many.
        learning_rate: after the warm-up; it falls along a cosine to 2 %.
        warmup: steps.
        log_every: steps between two lines of the log.
        check_every: steps between two checkpoints, each with a validation.
        seed: of weights and samples.
    """

    size: int
    batch: int
    steps: int
    learning_rate: float
    warmup: int = 60
    log_every: int = 20
    check_every: int = 500
    seed: int = 0


STAGES = {
    "liver": (Stage(128, 16, 1500, 2e-3), Stage(256, 8, 3000, 1.2e-3, seed=1)),
    "tumor": (Stage(160, 16, 4000, 1.5e-3, seed=2),),
}
QUICK_RECIPE = Recipe(size=64, filters=(16, 16, 32))
QUICK = (Stage(64, 4, 40, 3e-3, warmup=10, check_every=40),)
