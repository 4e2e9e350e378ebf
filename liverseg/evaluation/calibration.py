"""Whether a probability means what it says: of the voxels called 70 % liver, are 70 % liver?

The probabilities are those that `segment` returns and the page shows, after post-processing. Voxels
are counted in ten bins for each scan, so that scans can be pooled (Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017).
"""

from collections.abc import Iterable

import numpy as np

from ..volume import Probability

BINS = 10


def reliability(probability: Probability | None, truth: np.ndarray, counted: np.ndarray) -> dict:
    """Counts the voxels of one scan by probability.

    Args:
        probability: of the liver or of tumors; None where nothing was found.
        truth: (z, y, x) bool.
        counted: (z, y, x) bool, the voxels that count; those outside the probability's box do not.

    Returns:
        {"voxels", "true", "probability"}: of each bin from 0 to 1 how many there are, how many of
        them are true, and the sum of their probabilities.
    """
    if probability is None:
        return {"voxels": [0] * BINS, "true": [0] * BINS, "probability": [0.0] * BINS}
    kept = counted[probability.box]
    values = probability.values[kept]
    by_value = np.bincount(values, minlength=256)
    true = np.bincount(values[truth[probability.box][kept]], minlength=256)
    bins = np.minimum(np.arange(256) * BINS // 255, BINS - 1)
    return {
        "voxels": np.bincount(bins, by_value).astype(int).tolist(),
        "true": np.bincount(bins, true).astype(int).tolist(),
        "probability": np.bincount(bins, by_value * np.arange(256) / 255).tolist(),
    }


def pool(scans: Iterable[dict]) -> dict:
    """The reliability curve of many scans, voxels together.

    Args:
        scans: as `reliability` counts them.

    Returns:
        "curve": of each bin that has voxels the mean "confidence", the "frequency" of what is true
        and the number of "voxels"; "error": the expected calibration error, the mean difference of
        the two over voxels, and "largest_error", that of the worst bin. None where nothing counts.
    """
    counts = [(scan["voxels"], scan["true"], scan["probability"]) for scan in scans]
    voxels, true, probability = np.sum(counts, axis=0) if counts else np.zeros((3, BINS))
    used = voxels > 0
    if not used.any():
        return {"curve": [], "error": None, "largest_error": None}
    count = voxels[used]
    confidence, frequency = probability[used] / count, true[used] / count
    gaps = np.abs(confidence - frequency)
    return {
        "curve": [
            {"confidence": float(c), "frequency": float(f), "voxels": int(n)}
            for c, f, n in zip(confidence, frequency, count, strict=True)
        ],
        "error": float(np.average(gaps, weights=count)),
        "largest_error": float(gaps.max()),
    }
