"""The one place that defines windows, sizes and thresholds.

A `Recipe` is what the weights were trained with. It is stored in `weights/config.json` and checked
on load; everything that prepares network input or reads network output takes it from there.
"""

from dataclasses import asdict, dataclass, fields

from ..errors import WeightsError


@dataclass(frozen=True)
class Recipe:
    """How a scan becomes network input, and network output a segmentation.

    Attributes:
        size: side of the square network input in pixels.
        filters: channels of the ResUNet's stages.
        window_hu: (low, high) HU mapped to [0, 1] for the liver network.
        tumor_window_hu: the same for the tumor network, relative to the liver's median HU, so that
            contrast phase and fat matter little.
        neighbor_mm: distance of the two neighbour slices that are the first and third channel; the
            nearest slice to it, at least one away. One slice where spacing is unknown.
        liver_threshold: probability from which a voxel is liver.
        tumor_threshold: probability from which a voxel of the liver is tumor.
        tumor_peak: probability that a tumor reaches somewhere; others are left out.
        tumor_margin_mm: margin around the liver's box that the tumor network sees; as far as a
            tumor may reach, since more of it leaves fewer pixels for the liver.
        tumor_reach_mm: how far a tumor may reach over the outline of the liver network; it becomes
            liver there.
        min_tumor_mm3: smaller tumors are left out; counted where spacing is known.
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

    def __post_init__(self):
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
        """The inverse of `to_dict`; WeightsError where a key is missing, unknown or absurd."""
        known = {field.name for field in fields(cls)}
        if set(stored) != known:
            raise WeightsError(
                "The weights' recipe does not fit this version of liverseg: "
                f"{sorted(known ^ set(stored))} differ. Export or download the weights again."
            )
        try:
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})
        except (TypeError, ValueError) as error:
            raise WeightsError(f"The weights' recipe is not usable: {error}.") from None
