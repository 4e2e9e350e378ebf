"""The one place that defines windows, sizes, thresholds, and all else that decides masks.

A `Recipe` is what the weights were trained with. It is stored in `weights/config.json` and checked
on load; everything that prepares network input or reads network output takes it from there.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import WeightsError
from ..sentences import say
from ..volume import Spacing

SINCE_0_2 = {
    "fluid_hu",
    "liver_reach_px",
    "coarse_step_mm",
    "air_margin_px",
    "liver_margin_px",
    "assumed_spacing_mm",
}


@dataclass(frozen=True)
class Recipe:
    """How a scan becomes network input, and network output a segmentation.

    Attributes:
        size: side of the square network input in pixels.
        filters: channels of the ResUNet's stages.
        window_hu: (low, high) HU mapped to [0, 1] for the liver network.
        tumor_window_hu: the same for the tumor network, relative to the liver's median HU, so that
            contrast phase and fat matter little.
        neighbor_mm: distance of the two neighbor slices that are the first and third channel; the
            nearest slice to it, at least one away. One slice where spacing is unknown.
        liver_threshold: probability from which a voxel is liver.
        tumor_threshold: probability from which a voxel of the liver is tumor.
        tumor_peak: probability that a tumor reaches somewhere; others are left out.
        tumor_margin_mm: margin around the liver's box that the tumor network sees; as far as a
            tumor may reach, since more of it leaves fewer pixels for the liver.
        tumor_reach_mm: how far a tumor may reach over the outline of the liver network; it becomes
            liver there.
        min_tumor_mm3: smaller tumors are left out; counted where spacing is known.
        fluid_hu: what the tumor network found of a median of this or less is fluid, as in cysts,
            and left out (Gore et al., Journal of the American College of Radiology 14:1429, 2017).
        liver_reach_px: pixels of the network's grid around the largest component of the liver in
            which a lower threshold may still find some.
        coarse_step_mm: between the slices of the first look for the liver; no liver is thinner.
        air_margin_px: pixels of the network's grid that are looked at beyond what is not air.
        liver_margin_px: the same beyond the liver, for tumors.
        assumed_spacing_mm: (z, y, x) of a usual abdomen, where the files do not say.
    """

    size: int = 256
    filters: tuple[int, ...] = (16, 32, 64, 128, 256)
    window_hu: tuple[int, int] = (-40, 160)
    tumor_window_hu: tuple[int, int] = (-130, 70)
    neighbor_mm: float = 3.0
    liver_threshold: float = 0.5
    tumor_threshold: float = 0.5
    tumor_peak: float = 0.5
    tumor_margin_mm: float = 4.0
    tumor_reach_mm: float = 4.0
    min_tumor_mm3: float = 20.0
    fluid_hu: int = 20
    liver_reach_px: int = 5
    coarse_step_mm: float = 10.0
    air_margin_px: int = 8
    liver_margin_px: int = 32
    assumed_spacing_mm: tuple[float, float, float] = (2.5, 0.75, 0.75)

    def __post_init__(self) -> None:
        if self.size <= 0 or self.size % self.coarsest:
            raise ValueError(f"size must be a multiple of {self.coarsest}, got {self.size}")
        for name in ("window_hu", "tumor_window_hu"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} must be (low, high), got {(low, high)}")
        for name in ("liver_threshold", "tumor_threshold", "tumor_peak"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.tumor_margin_mm < self.tumor_reach_mm:
            raise ValueError("tumor_margin_mm must be tumor_reach_mm or more")
        for name in ("liver_reach_px", "air_margin_px", "liver_margin_px"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not self.coarse_step_mm > 0:
            raise ValueError(f"coarse_step_mm must be above 0, got {self.coarse_step_mm}")
        if len(self.assumed_spacing_mm) != 3 or not min(self.assumed_spacing_mm) > 0:
            raise ValueError(f"assumed_spacing_mm must be (z, y, x), got {self.assumed_spacing_mm}")

    @property
    def assumed_spacing(self) -> Spacing:
        """`assumed_spacing_mm` as a Spacing."""
        return Spacing(*self.assumed_spacing_mm)

    @property
    def coarsest(self) -> int:
        """Side, in pixels of the input, of a pixel of the network's last stage."""
        return 2 ** (len(self.filters) - 1)

    def to_dict(self) -> dict:
        """As JSON stores it."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, stored: dict) -> "Recipe":
        """The inverse of `to_dict`; WeightsError where a key is missing, unknown or absurd.

        What weights of before version 0.2 do not say was the same for all: the default.
        """
        known = {field.name for field in fields(cls)}
        if not known - SINCE_0_2 <= set(stored) <= known:
            differ = sorted(known - SINCE_0_2 - set(stored) | set(stored) - known)
            raise WeightsError(say("weights.recipe_of_other_version", fields=tuple(differ)))
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
        }
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise WeightsError(say("weights.recipe_unusable", reason=error)) from None
