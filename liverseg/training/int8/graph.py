"""Writes the folded ResUNet as an ONNX graph in 8-bit integers.

Activations are unsigned 8 bit with one scale and zero point a tensor, weights signed with one scale
an output channel, sums 32 bit (the scheme of Jacob et al., "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018). The graph uses ONNX
Runtime's own integer operations in channels-last order, so that nothing is transposed.
"""

from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .network import Affine, Convolution
from .ranges import Activation, scale_and_zero

RUNTIME = "com.microsoft"  # ONNX Runtime's own operations
LOGIT_RANGE = (-7.0, 7.0)  # probabilities from 0.001 to 0.999, in steps of 0.014 at 0.5
UNIT_RANGE = (0.0, 1.0)
WEIGHT_MAX = 63  # 7 bits: CPUs without VNNI add two products in 16 bits, which 8 would overflow
BIAS_MAX = 2**30


class Quantized(NamedTuple):
    """A tensor of the graph, (n, y, x, channels): value = factors * scale * (integer - zero).

    Attributes:
        name: in the graph.
        scale, zero: of all channels.
        factors, mean: (channels,), see `Activation`.
    """

    name: str
    scale: float
    zero: int
    factors: np.ndarray
    mean: np.ndarray


class Int8Operations:
    """`network.Operations` that append nodes to a graph.

    A ReLU costs nothing: the range of its result begins at 0, where unsigned integers end.

    Args:
        activations: of `FloatOperations`.
    """

    def __init__(self, activations: list[Activation]):
        self._activations = iter(activations)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def image(self) -> Quantized:
        """The graph's input "image", (n, y, x, 3) float32 in [0, 1], y and x free."""
        found = next(self._activations)
        scale, zero = scale_and_zero(UNIT_RANGE)
        name = self._append("QuantizeLinear", ["image", *self._integers(scale, zero)])
        plain = np.ones_like(found.factors)
        return Quantized(name, scale, zero, plain, found.mean * found.factors)

    def model(self, probability: Quantized) -> onnx.ModelProto:
        """The finished graph with its output "probability", (n, y, x, 1) float32."""
        inputs = [probability.name, *self._integers(probability.scale, probability.zero)]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, ["probability"]))
        graph = helper.make_graph(
            self._nodes,
            "resunet",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", "y", "x", 3])],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", "y", "x", 1])],
            self._constants,
        )
        versions = [helper.make_opsetid("", 17), helper.make_opsetid(RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=8)

    def affine_relu(self, x: Quantized, affine: Affine) -> Quantized:
        """A convolution of each channel on its own."""
        to = next(self._activations)
        scale = affine.scale * x.factors / to.factors
        layer = Convolution(scale[None, None, None], affine.shift / to.factors)
        return self._convolution(x, layer, to, groups=len(scale))

    def convolution(
        self, x: Quantized, layer: Convolution, stride: int = 1, relu: bool = False
    ) -> Quantized:
        """See `network.Operations`."""
        if layer.kernel.shape[0] == 1:
            pads = (0, 0, 0, 0)
        else:  # at stride 2 "same" padding puts the odd pixel at the end
            pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        to = next(self._activations)
        return self._convolution(x, _between(x, layer, to), to, stride, pads)

    def convolution_of_upsampled(self, x: Quantized, layer: Convolution) -> Quantized:
        """Even and odd rows each by a convolution before the upsampling, then interleaved."""
        to, width = next(self._activations), layer.kernel.shape[-1]
        layer = _between(x, layer, to)
        if layer.kernel.shape[0] == 1:
            rows = 2 * [self._twice_a_pixel(x, layer, to)]
        else:
            rows = [self._upsampled_row(x, layer, odd, to) for odd in (0, 1)]
        name = self._append("Concat", [row.name for row in rows], axis=2)
        before = self._append("Shape", [x.name], end=3)
        after = self._append("Mul", [before, self._constant(np.array([1, 2, 2], np.int64))])
        shape = self._append("Concat", [after, self._constant(np.array([width], np.int64))], axis=0)
        return rows[0]._replace(name=self._append("Reshape", [name, shape]))

    def add(self, x: Quantized, y: Quantized, relu: bool = False) -> Quantized:
        """See `network.Operations`."""
        to = next(self._activations)
        scale, zero = scale_and_zero(to[:2])
        inputs = [part for q in (x, y) for part in (q.name, *self._integers(q.scale, q.zero))]
        name = self._append("QLinearAdd", inputs + self._integers(scale, zero), RUNTIME)
        return Quantized(name, scale, zero, to.factors, to.mean)

    def probability(self, x: Quantized, layer: Convolution) -> Quantized:
        """See `network.Operations`."""
        to = Activation(*LOGIT_RANGE, factors=np.ones(1), mean=np.zeros(1))
        logit = self._convolution(x, _between(x, layer, to), to)
        scale, zero = scale_and_zero(UNIT_RANGE)
        inputs = [
            logit.name,
            *self._integers(logit.scale, logit.zero),
            *self._integers(scale, zero),
        ]
        name = self._append("QLinearSigmoid", inputs, RUNTIME)
        return logit._replace(name=name, scale=scale, zero=zero)

    def _twice_a_pixel(self, x: Quantized, layer: Convolution, to: Activation) -> Quantized:
        """(n, y, 2 x channels): a row of the upsampled 1x1 convolution."""
        twice = Convolution(np.tile(layer.kernel, 2), np.tile(layer.bias, 2))
        return self._flat(self._convolution(x, twice, to))

    def _upsampled_row(
        self, x: Quantized, layer: Convolution, odd: int, to: Activation
    ) -> Quantized:
        """(n, y, 2 x channels): the even or the odd rows of the upsampled 3x3 convolution.

        Of three neighbors among the upsampled pixels two are the same pixel of `x`, so that their
        weights can be added: each upsampled pixel is a 2x2 convolution of `x`. Between two columns
        of `x` lie the right pixel of the first and the left one of the second; both are computed
        at once, as one convolution with twice the channels. Before the first column and after the
        last there is one too many.
        """
        kernel = _paired(layer.kernel, 0, odd)
        both = np.concatenate([_paired(kernel, 1, 1), _paired(kernel, 1, 0)], axis=-1)
        between = Convolution(both, np.tile(layer.bias, 2))
        pixels = self._convolution(x, between, to, pads=(1 - odd, 1, odd, 1))
        width = len(layer.bias)
        row = self._flat(pixels)
        cut = [self._constant(np.array([n], np.int64)) for n in (width, -width, 2)]
        return row._replace(name=self._append("Slice", [row.name, *cut]))

    def _convolution(
        self,
        x: Quantized,
        layer: Convolution,
        to: Activation,
        stride: int = 1,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> Quantized:
        scale, zero = scale_and_zero(to[:2])
        mean = x.mean if groups > 1 else x.mean[:, None]
        weights, weight_scales, bias = integer_weights(layer, x.scale, mean)
        inputs = [
            *[x.name, *self._integers(x.scale, x.zero)],
            self._constant(weights.transpose(3, 2, 0, 1)),
            self._constant(weight_scales.astype(np.float32)),
            self._constant(np.zeros(len(weight_scales), np.int8)),
            *self._integers(scale, zero),
            self._constant(bias),
        ]
        name = self._append(
            "QLinearConv",
            inputs,
            RUNTIME,
            channels_last=1,
            kernel_shape=weights.shape[:2],
            strides=(stride, stride),
            pads=pads,
            group=groups,
        )
        return Quantized(name, scale, zero, to.factors, to.mean)

    def _flat(self, x: Quantized) -> Quantized:
        """(n, y, x channels)."""
        shape = self._constant(np.array([0, 0, -1], np.int64))
        return x._replace(name=self._append("Reshape", [x.name, shape]))

    def _append(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        output = f"{kind}_{len(self._nodes)}"
        node = helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def _constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def _integers(self, scale: float, zero: int) -> list[str]:
        """The two inputs that say what a tensor's integers mean."""
        return [
            self._constant(np.array(scale, np.float32)),
            self._constant(np.array(zero, np.uint8)),
        ]


def integer_weights(
    layer: Convolution, x_scale: float, x_mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and bias of a convolution as integers.

    What rounding the weights changes on average is taken off the bias (Nagel et al., 2019).

    Args:
        layer: the convolution.
        x_scale: of its input.
        x_mean: of its input, broadcast over (channels in, channels out).

    Returns:
        int8 kernel, its scale for every output channel, int32 bias in units of x_scale * scale.
    """
    kernel, bias = layer
    scales = np.abs(kernel).max(axis=(0, 1, 2)) / WEIGHT_MAX
    scales = np.maximum(scales, np.abs(bias) / (x_scale * BIAS_MAX))  # so that the bias fits
    scales = np.maximum(scales, 1e-12)
    weights = np.rint(kernel / scales).astype(np.int8)
    bias = bias - ((weights * scales - kernel) * x_mean).sum(axis=(0, 1, 2))
    bias = np.rint(bias / (x_scale * scales)).clip(-BIAS_MAX, BIAS_MAX)
    return weights, scales, bias.astype(np.int32)


def _between(x: Quantized, layer: Convolution, to: Activation) -> Convolution:
    """The convolution from the input in units of its factors to the result in units of its own."""
    kernel, bias = layer
    return Convolution(kernel * x.factors[:, None] / to.factors, bias / to.factors)


def _paired(kernel: np.ndarray, axis: int, odd: int) -> np.ndarray:
    """The two weights that are left of three along an axis, for an even or odd upsampled pixel."""
    first, second, third = np.moveaxis(kernel, axis, 0)
    pair = (first + second, third) if odd else (first, second + third)
    return np.stack(pair, axis)
