"""What reading one upload has cost, counted over all its files.

What a file announces is counted before anything is allocated for it, so that many small files
cannot do together what one of them may not.
"""

from collections import Counter
from dataclasses import replace
from typing import Literal

from ..errors import TooLarge
from ..sentences import say
from .limits import LIMITS

Cost = Literal["decoded_bytes", "elements", "entries", "frames", "truth_voxels"]
_SENTENCES: dict[Cost, str] = {
    "decoded_bytes": "budget.decoded_bytes",
    "elements": "budget.elements",
    "entries": "budget.entries",
    "frames": "budget.frames",
    "truth_voxels": "budget.truth_voxels",
}


class Budget:
    """Of one upload.

    Attributes:
        decoder_stops: over how many images a decoder crashed or hung.
    """

    def __init__(self) -> None:
        self.decoder_stops = 0
        self._spent: Counter[Cost] = Counter()
        self._limits = LIMITS

    def spend(self, cost: Cost, amount: int) -> None:
        """Counts what is about to be used; TooLarge where that is too much."""
        self._spent[cost] += amount
        most = getattr(self._limits, cost)
        if self._spent[cost] > most:
            raise TooLarge(say(_SENTENCES[cost], most=most))

    def reserve(self, cost: Cost, amount: int) -> None:
        """As `spend`, but what is too much does not count: it is passed over, not used."""
        try:
            self.spend(cost, amount)
        except TooLarge:
            self._spent[cost] -= amount
            raise

    def of_truth(self, scan_voxels: int) -> None:
        """Makes it that of a ground truth for a scan."""
        most = LIMITS.truth_voxels_for(scan_voxels)
        self._limits = replace(self._limits, truth_voxels=most)

    def allow(self, voxels: int) -> None:
        """Says that these are about to be decoded: of a scan, or of masks within the limits.

        Time and memory count only in a process of its own, which overrides this.
        """
