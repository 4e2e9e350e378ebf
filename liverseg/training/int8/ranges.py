"""What the results inside the folded ResUNet are like, measured on calibration images.

Eight bits are 255 steps for all channels of a result. Two things make the steps small: channels
that are quieter than others are amplified, exactly, since the next layer can divide by the same
factor (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
2019); and the rare values far outside are cut off where that makes the mean square error smaller.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from .network import Affine, Convolution, Layers, network

PIXELS = 400  # looked at of a result of an image
LOUDEST_PERCENT = 99.9  # of a channel's values are smaller than what counts as its loudness
SHARE = 0.5  # of the difference in loudness that is evened out; the weights bear the rest
QUIETEST = 1e-3  # of the loudest channel: quieter ones count as that loud
TRIED_ON = 200_000  # values, about, of a result
CUTS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25)  # parts of a range that are tried
STEPS = 255


class Activation(NamedTuple):
    """One result of the network.

    Attributes:
        low, high: of value / factors, what is not cut off; 0 lies between.
        factors: (channels,), how loud each channel is.
        mean: (channels,) of value / factors.
    """

    low: float
    high: float
    factors: np.ndarray
    mean: np.ndarray


class Result(NamedTuple):
    """A tensor (n, y, x, channels) and its number in the order of `network`; 0 is the image."""

    value: Any
    number: int


class FloatOperations:
    """`network.Operations` that compute in float32 and remember some pixels of every result."""

    def __init__(self) -> None:
        self._pixels: list[list[np.ndarray]] = []  # of each result, of every image
        self._summands: dict[int, tuple[int, int]] = {}
        self._count = 0

    def run(self, layers: Layers, filters: tuple[int, ...], image: np.ndarray) -> np.ndarray:
        """`network` on one batch (n, y, x, 3), whose results are remembered."""
        self._count = 0
        return ops.convert_to_numpy(network(self, layers, filters, self._noted(image)))

    def activations(self) -> list[Activation]:
        """Of the image and every result, in the order of `network`."""
        values = [np.concatenate(pixels).astype(np.float32) for pixels in self._pixels]
        factors = [_loudness(one) for one in values]
        for total in sorted(self._summands, reverse=True):  # what is added has equal factors
            for part in self._summands[total]:
                factors[part] = factors[total]
        return [_activation(one / each, each) for one, each in zip(values, factors, strict=True)]

    def _noted(self, value: Any) -> Result:
        number = self._count
        self._count += 1
        if number == len(self._pixels):
            self._pixels.append([])
        known = self._pixels[number]
        for image in ops.convert_to_numpy(value):
            pixels = image.reshape(-1, image.shape[-1])
            chosen = np.random.default_rng((number, len(known))).integers(0, len(pixels), PIXELS)
            known.append(pixels[chosen].astype(np.float16))
        return Result(value, number)

    def affine_relu(self, x: Result, affine: Affine) -> Result:
        """See `Operations`."""
        scale, shift = (part.astype(np.float32) for part in affine)
        return self._noted(ops.relu(x.value * scale + shift))

    def convolution(
        self, x: Result, layer: Convolution, stride: int = 1, relu: bool = False
    ) -> Result:
        """See `Operations`."""
        value = _convolution(x.value, layer, stride)
        return self._noted(ops.relu(value) if relu else value)

    def convolution_of_upsampled(self, x: Result, layer: Convolution) -> Result:
        """See `Operations`."""
        upsampled = ops.repeat(ops.repeat(x.value, 2, axis=1), 2, axis=2)
        return self._noted(_convolution(upsampled, layer))

    def add(self, x: Result, y: Result, relu: bool = False) -> Result:
        """See `Operations`."""
        total = x.value + y.value
        result = self._noted(ops.relu(total) if relu else total)
        self._summands[result.number] = x.number, y.number
        return result

    def probability(self, x: Result, layer: Convolution) -> Any:
        """See `Operations`."""
        return ops.sigmoid(_convolution(x.value, layer))


def _convolution(x: Any, layer: Convolution, stride: int = 1) -> Any:
    kernel, bias = (part.astype(np.float32) for part in layer)
    return ops.conv(x, kernel, strides=stride, padding="same", data_format="channels_last") + bias


def _loudness(values: np.ndarray) -> np.ndarray:
    """(channels,) factors of (n, channels) values; at most 1."""
    loud = np.percentile(np.abs(values), LOUDEST_PERCENT, axis=0).astype(np.float64)
    loudest = loud.max() or 1.0
    return np.maximum(loud / loudest, QUIETEST) ** SHARE


def _activation(values: np.ndarray, factors: np.ndarray) -> Activation:
    some = values[:: -(-values.size // TRIED_ON)]
    return Activation(*best_range(some), factors, values.mean(axis=0, dtype=np.float64))


def best_range(values: np.ndarray) -> tuple[float, float]:
    """The range whose 8-bit steps have the least mean square error, of those that are tried.

    Args:
        values: of any shape; 0 is in the range, and has an integer of its own.
    """
    lowest, highest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    tried = {(lowest * below, highest * above) for below, above in product(CUTS, CUTS)}

    def error(of_range: tuple[float, float]) -> float:
        scale, zero = scale_and_zero(of_range)
        steps = np.rint(values / scale)
        np.clip(steps, -zero, STEPS - zero, out=steps)
        return float(np.square(values - steps * scale).mean())

    return min(sorted(tried), key=error)


def scale_and_zero(value_range: tuple[float, float]) -> tuple[float, int]:
    """The scale and zero point of 8 bits over a range, which is grown to hold 0 exactly."""
    low, high = min(value_range[0], 0.0), max(value_range[1], 0.0)
    scale = float(np.float32(max(high - low, 1e-6) / STEPS))
    return scale, int(np.clip(round(-low / scale), 0, STEPS))
