"""What becomes of a network's input in an ablation or in the paper's protocol.

Apart from both, so that the processes that draw samples import no network library.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..training.samples import Sample, Samples

InputChange = Callable[[np.ndarray], np.ndarray]


def unchanged(given: np.ndarray) -> np.ndarray:
    """What is changed by nothing."""
    return given


def repeat_slice(image: np.ndarray) -> np.ndarray:
    """(..., 3) input with the slice itself in place of its neighbors."""
    return np.repeat(image[..., 1:2], 3, axis=-1)


@dataclass(frozen=True)
class ChangedSamples:
    """Samples whose image is changed as a row says."""

    samples: Samples
    image: InputChange

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """See `Samples.draw`."""
        sample = self.samples.draw(rng, size)
        return sample._replace(image=self.image(sample.image))
