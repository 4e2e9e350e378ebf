"""The ResUNet as the fast engine computes it: the same function with a third less arithmetic.

Two exact rewritings of `model.py`:

- A normalization after a convolution is folded into it.
- The decoder upsamples its input (nearest, 2x) and concatenates a skip. Convolutions are linear, so
  each is the sum of one over the upsampled part and one over the skip; normalization, ReLU and 1x1
  convolutions of the upsampled part are done before the upsampling, at a quarter of the pixels.
  The 3x3 convolution of it becomes four 2x2 convolutions (`graph.py`).

`network` is written once, over abstract operations: `FloatOperations` (ranges.py) computes it
with keras.ops and notes what every result is like; `Int8Operations` (graph.py) writes it as an ONNX
graph.
"""

from typing import Any, NamedTuple, Protocol

import keras
import numpy as np


class Convolution(NamedTuple):
    """A stride-1 or stride-2 convolution with "same" padding."""

    kernel: np.ndarray  # (side, side, channels in, channels out)
    bias: np.ndarray  # (channels out,)


class Affine(NamedTuple):
    """A normalization at inference: scale * x + shift, both (channels,)."""

    scale: np.ndarray
    shift: np.ndarray


class Operations(Protocol):
    """What `network` is made of; tensors are (n, y, x, channels)."""

    def affine_relu(self, x: Any, affine: Affine) -> Any:
        """ReLU of the normalized tensor."""

    def convolution(self, x: Any, layer: Convolution, stride: int = 1, relu: bool = False) -> Any:
        """Convolution, with ReLU if asked for."""

    def convolution_of_upsampled(self, x: Any, layer: Convolution) -> Any:
        """Convolution of the tensor upsampled 2x (nearest)."""

    def add(self, x: Any, y: Any, relu: bool = False) -> Any:
        """Sum, with ReLU if asked for."""

    def probability(self, x: Any, layer: Convolution) -> Any:
        """Sigmoid of the convolution."""


class Layers:
    """The layers of a model of `build_resunet`, by the names that it gives them."""

    def __init__(self, model: keras.Model):
        self._model = model

    def convolution(self, name: str) -> Convolution:
        """A convolution as it is."""
        return Convolution(*self._weights(name))

    def normalization(self, name: str) -> Affine:
        """A normalization."""
        gamma, beta, mean, variance = self._weights(name)
        scale = gamma / np.sqrt(variance + self._model.get_layer(name).epsilon)
        return Affine(scale, beta - mean * scale)

    def normalized_convolution(self, convolution: str, normalization: str) -> Convolution:
        """A convolution with the normalization after it folded into it."""
        kernel, bias = self.convolution(convolution)
        scale, shift = self.normalization(normalization)
        return Convolution(kernel * scale, bias * scale + shift)

    def shortcut(self, block: str) -> Convolution:
        """The shortcut of a block."""
        return self.normalized_convolution(f"{block}_shortcut_conv", f"{block}_shortcut_norm")

    def _weights(self, name: str) -> list[np.ndarray]:
        return [array.astype(np.float64) for array in self._model.get_layer(name).get_weights()]


def network(operations: Operations, layers: Layers, filters: tuple[int, ...], image: Any) -> Any:
    """The whole network on `image` (n, y, x, 3); returns probabilities (n, y, x, 1)."""
    x = _stem(operations, layers, image)
    stages = [x]
    for number in range(1, len(filters)):
        x = _encoder_block(operations, layers, f"encoder{number}", x)
        stages.append(x)
    for number in (1, 2):
        x = operations.affine_relu(x, layers.normalization(f"bridge_norm{number}"))
        x = operations.convolution(x, layers.convolution(f"bridge_conv{number}"))
    skips = zip(reversed(stages[:-1]), reversed(filters[:-1]), strict=True)
    for number, (skip, skip_width) in enumerate(skips, 1):
        x = _decoder_block(operations, layers, f"decoder{number}", x, skip, skip_width)
    return operations.probability(x, layers.convolution("probability"))


def _stem(operations: Operations, layers: Layers, image: Any) -> Any:
    first = layers.normalized_convolution("stem_conv1", "stem_norm1")
    residual = operations.convolution(image, first, relu=True)
    residual = operations.convolution(residual, layers.convolution("stem_conv2"))
    return operations.add(residual, operations.convolution(image, layers.shortcut("stem")))


def _encoder_block(operations: Operations, layers: Layers, name: str, x: Any) -> Any:
    residual = operations.affine_relu(x, layers.normalization(f"{name}_norm1"))
    first = layers.normalized_convolution(f"{name}_conv1", f"{name}_norm2")
    residual = operations.convolution(residual, first, stride=2, relu=True)
    residual = operations.convolution(residual, layers.convolution(f"{name}_conv2"))
    shortcut = operations.convolution(x, layers.shortcut(name), stride=2)
    return operations.add(residual, shortcut)


def _decoder_block(
    operations: Operations, layers: Layers, name: str, x: Any, skip: Any, width: int
) -> Any:
    """One block on the concatenation of upsampled `x` and `skip` (the last `width` channels)."""
    before = layers.normalization(f"{name}_norm1")
    first = layers.normalized_convolution(f"{name}_conv1", f"{name}_norm2")
    second, shortcut = layers.convolution(f"{name}_conv2"), layers.shortcut(name)
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
