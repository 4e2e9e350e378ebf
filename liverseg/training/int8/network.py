"""The ResUNet as the fast engine computes it: the same function with a third less arithmetic.

Two exact rewritings of `model.py`:

- A normalisation after a convolution is folded into it.
- The decoder upsamples its input (nearest, 2x) and concatenates a skip. Convolutions are linear, so
  each is the sum of one over the upsampled part and one over the skip; normalisation, ReLU and 1x1
  convolutions of the upsampled part are done before the upsampling, at a quarter of the pixels.
  The 3x3 convolution of it becomes four 2x2 convolutions (`graph.py`).

`network` is written once, over abstract operations: `FloatOperations` (ranges.py) computes it
with keras.ops and notes what every result is like; `Int8Operations` (graph.py) writes it as an ONNX
graph.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np


class Convolution(NamedTuple):
    """A stride-1 or stride-2 convolution with "same" padding."""

    kernel: np.ndarray  # (side, side, channels in, channels out)
    bias: np.ndarray  # (channels out,)


class Affine(NamedTuple):
    """A normalisation at inference: scale * x + shift, both (channels,)."""

    scale: np.ndarray
    shift: np.ndarray


class Operations(Protocol):
    """What `network` is made of; tensors are (n, y, x, channels)."""

    def affine_relu(self, x: Any, affine: Affine) -> Any:
        """ReLU of the normalised tensor."""

    def convolution(self, x: Any, layer: Convolution, stride: int = 1, relu: bool = False) -> Any:
        """Convolution, with ReLU if asked for."""

    def convolution_of_upsampled(self, x: Any, layer: Convolution) -> Any:
        """Convolution of the tensor upsampled 2x (nearest)."""

    def add(self, x: Any, y: Any, relu: bool = False) -> Any:
        """Sum, with ReLU if asked for."""

    def probability(self, x: Any, layer: Convolution) -> Any:
        """Sigmoid of the convolution."""


class Layers:
    """The layers of a model of `build_resunet`, handed out in the order in which it makes them."""

    def __init__(self, model: keras.Model):
        self._convolutions = _in_order(model, keras.layers.Conv2D)
        self._normalizations = _in_order(model, keras.layers.BatchNormalization)

    def convolution(self) -> Convolution:
        """The next convolution."""
        return Convolution(*(weight.astype(np.float64) for weight in self._take_convolution()))

    def normalization(self) -> Affine:
        """The next normalisation."""
        layer = next(self._normalizations)
        gamma, beta, mean, variance = (w.astype(np.float64) for w in layer.get_weights())
        scale = gamma / np.sqrt(variance + layer.epsilon)
        return Affine(scale, beta - mean * scale)

    def normalized_convolution(self) -> Convolution:
        """The next convolution with the next normalisation folded into it."""
        kernel, bias = self.convolution()
        scale, shift = self.normalization()
        return Convolution(kernel * scale, bias * scale + shift)

    def _take_convolution(self) -> list[np.ndarray]:
        return next(self._convolutions).get_weights()


def _in_order(model: keras.Model, kind: type) -> Iterator[keras.layers.Layer]:
    """Keras counts layers of a kind up in their names; the first has no number."""

    def number(layer: keras.layers.Layer) -> int:
        tail = layer.name.rsplit("_", 1)[-1]
        return int(tail) if tail.isdigit() else 0

    return iter(sorted((layer for layer in model.layers if isinstance(layer, kind)), key=number))


def network(operations: Operations, layers: Layers, filters: tuple[int, ...], image: Any) -> Any:
    """The whole network on `image` (n, y, x, 3); returns probabilities (n, y, x, 1)."""
    x = _stem(operations, layers, image)
    stages = [x]
    for _ in filters[1:]:
        x = _encoder_block(operations, layers, x)
        stages.append(x)
    for _ in range(2):
        x = operations.affine_relu(x, layers.normalization())
        x = operations.convolution(x, layers.convolution())
    for skip, skip_width in zip(reversed(stages[:-1]), reversed(filters[:-1]), strict=True):
        x = _decoder_block(operations, layers, x, skip, skip_width)
    return operations.probability(x, layers.convolution())


def _stem(operations: Operations, layers: Layers, image: Any) -> Any:
    residual = operations.convolution(image, layers.normalized_convolution(), relu=True)
    residual = operations.convolution(residual, layers.convolution())
    return operations.add(residual, operations.convolution(image, layers.normalized_convolution()))


def _encoder_block(operations: Operations, layers: Layers, x: Any) -> Any:
    residual = operations.affine_relu(x, layers.normalization())
    residual = operations.convolution(
        residual, layers.normalized_convolution(), stride=2, relu=True
    )
    residual = operations.convolution(residual, layers.convolution())
    shortcut = operations.convolution(x, layers.normalized_convolution(), stride=2)
    return operations.add(residual, shortcut)


def _decoder_block(operations: Operations, layers: Layers, x: Any, skip: Any, width: int) -> Any:
    """One block on the concatenation of upsampled `x` and `skip` (the last `width` channels)."""
    before, first = layers.normalization(), layers.normalized_convolution()
    second, shortcut = layers.convolution(), layers.normalized_convolution()
    residual = operations.add(
        operations.convolution_of_upsampled(
            operations.affine_relu(x, Affine(*(part[:-width] for part in before))),
            _without_last(first, width),
        ),
        operations.convolution(
            operations.affine_relu(skip, Affine(*(part[-width:] for part in before))),
            _last(first, width),
        ),
        relu=True,
    )
    residual = operations.convolution(residual, second)
    shortcut = operations.add(
        operations.convolution_of_upsampled(x, _without_last(shortcut, width)),
        operations.convolution(skip, _last(shortcut, width)),
    )
    return operations.add(residual, shortcut)


def _without_last(layer: Convolution, width: int) -> Convolution:
    return Convolution(layer.kernel[:, :, :-width], np.zeros_like(layer.bias))


def _last(layer: Convolution, width: int) -> Convolution:
    return Convolution(layer.kernel[:, :, -width:], layer.bias)
