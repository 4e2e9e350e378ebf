"""liverseg: liver and liver tumors in abdominal CT, for teaching. Not for diagnosis.

    volume = read_scan(files)                      # Volume: HU, spacing, notices
    prediction = segment(volume)                   # Segmentation: background, liver, tumor
    truth = read_truth(files, volume)              # Segmentation on the same grid
    scores = compare(prediction, truth, volume)    # Dice and its relatives
    findings = measure(prediction, volume)         # mL, mm, HU

Names are imported when first used, so that reading a file does not wait for a network library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cascade import segment
    from .errors import UploadError, WeightsError
    from .measurements import measure
    from .metrics import compare
    from .phantom import make_phantom
    from .upload import read_scan, read_truth
    from .volume import Segmentation, Spacing, Volume

_HOME = {
    "Segmentation": "volume",
    "Spacing": "volume",
    "UploadError": "errors",
    "Volume": "volume",
    "WeightsError": "errors",
    "compare": "metrics",
    "make_phantom": "phantom",
    "measure": "measurements",
    "read_scan": "upload",
    "read_truth": "upload",
    "segment": "cascade",
}

__all__ = [
    "Segmentation",
    "Spacing",
    "UploadError",
    "Volume",
    "WeightsError",
    "compare",
    "make_phantom",
    "measure",
    "read_scan",
    "read_truth",
    "segment",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
