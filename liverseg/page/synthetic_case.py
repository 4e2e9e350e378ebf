"""Synthetic cases by number and difficulty: who asks for the same gets the same."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from ..volume import Segmentation, Volume

# Ranges for `make_phantom`: the longest diameter of a tumor, and its difference from the liver.
SIZES_MM = {"any": (6.0, 45.0), "large": (25.0, 45.0), "small": (6.0, 15.0)}
CONTRASTS_HU = {"any": None, "clear": (-70.0, -45.0), "faint": (-30.0, -18.0)}
LAST = 999_999  # number of a case


@dataclass(frozen=True)
class SyntheticCase:
    """Which synthetic case; ValueError for one that there is not.

    Attributes:
        number: of the patient.
        size: of the tumors, a key of `SIZES_MM`.
        contrast: to the liver, a key of `CONTRASTS_HU`.
    """

    number: int
    size: str = "any"
    contrast: str = "any"

    def __post_init__(self) -> None:
        if (
            not 0 <= self.number <= LAST
            or self.size not in SIZES_MM
            or self.contrast not in CONTRASTS_HU
        ):
            raise ValueError(f"no synthetic case {asdict(self)}")

    def make(self) -> tuple[Volume, Segmentation]:
        """The abdomen as if its DICOM files had been uploaded, with its ground truth."""
        from ..phantom import make_phantom
        from ..phantom.files import write_dicom
        from ..reading.upload import read_scan

        volume, truth = make_phantom(
            self.number,
            diameter_mm=SIZES_MM[self.size],
            contrast_hu=CONTRASTS_HU[self.contrast],
        )
        with tempfile.TemporaryDirectory() as folder:
            write_dicom(volume, Path(folder))
            return read_scan([folder]), truth
