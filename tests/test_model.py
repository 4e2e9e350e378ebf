"""The network against the paper's table, layer by layer."""

import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from liverseg.model import build_resunet

# Every convolution as (kernel side, stride, channels in, channels out, parameters) and every
# normalization by its parameters, in the order of the paper's table. Its three typing errors are
# corrected: 804992 is 884992 (3x3, 384 to 256), 33824 is 33024 (1x1, 128 to 256), 90560 is 98560
# (1x1, 384 to 256).
STEM = [(3, 1, 3, 16, 448), 64, (3, 1, 16, 16, 2320), (1, 1, 3, 16, 64), 64]
ENCODER = [
    [64, (3, 2, 16, 32, 4640), 128, (3, 1, 32, 32, 9248), (1, 2, 16, 32, 544), 128],
    [128, (3, 2, 32, 64, 18496), 256, (3, 1, 64, 64, 36928), (1, 2, 32, 64, 2112), 256],
    [256, (3, 2, 64, 128, 73856), 512, (3, 1, 128, 128, 147584), (1, 2, 64, 128, 8320), 512],
    [512, (3, 2, 128, 256, 295168), 1024, (3, 1, 256, 256, 590080), (1, 2, 128, 256, 33024), 1024],
]
BRIDGE = [1024, (3, 1, 256, 256, 590080), 1024, (3, 1, 256, 256, 590080)]
DECODER = [
    [1536, (3, 1, 384, 256, 884992), 1024, (3, 1, 256, 256, 590080), (1, 1, 384, 256, 98560), 1024],
    [1280, (3, 1, 320, 128, 368768), 512, (3, 1, 128, 128, 147584), (1, 1, 320, 128, 41088), 512],
    [640, (3, 1, 160, 64, 92224), 256, (3, 1, 64, 64, 36928), (1, 1, 160, 64, 10304), 256],
    [320, (3, 1, 80, 32, 23072), 128, (3, 1, 32, 32, 9248), (1, 1, 80, 32, 2592), 128],
]
HEAD = [(1, 1, 32, 1, 33)]
TABLE = list(chain(STEM, *ENCODER, BRIDGE, *DECODER, HEAD))


@pytest.fixture(scope="module")
def model():
    return build_resunet()


def row(layer):
    """A layer as the table writes it."""
    if "norm" in layer.name:
        return layer.count_params()
    side, _, channels_in, channels_out = layer.kernel.shape
    return side, layer.strides[0], channels_in, channels_out, layer.count_params()


BLOCK = ("norm1", "conv1", "norm2", "conv2", "shortcut_conv", "shortcut_norm")
NAMES = [
    *[f"stem_{part}" for part in ("conv1", "norm1", "conv2", "shortcut_conv", "shortcut_norm")],
    *[f"encoder{number}_{part}" for number in (1, 2, 3, 4) for part in BLOCK],
    *[f"bridge_{part}" for part in BLOCK[:4]],
    *[f"decoder{number}_{part}" for number in (1, 2, 3, 4) for part in BLOCK],
    "probability",
]


def test_every_convolution_and_normalization_is_the_papers(model):
    assert {layer.name for layer in model.layers if layer.weights} == set(NAMES)
    assert [row(model.get_layer(name)) for name in NAMES] == TABLE


def test_the_papers_number_of_parameters(model):
    assert model.count_params() == 4_723_057
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == 4_715_761
    assert sum(entry[-1] if isinstance(entry, tuple) else entry for entry in TABLE) == 4_723_057


def test_every_text_that_counts_parameters_counts_these(model):
    root = Path(__file__).resolve().parent.parent
    paths = [*root.glob("*.md"), *root.glob("weights/*.md"), *root.glob("liverseg/**/*.md")]
    texts = [path.read_text("utf-8") for path in (*paths, root / "liverseg" / "model.py")]
    cells = json.loads((root / "train.ipynb").read_text("utf-8"))["cells"]
    texts += ["".join(cell["source"]) for cell in cells]
    found = [number for text in texts for number in re.findall(r"([\d,]{7,}) parameters", text)]
    assert len(found) >= 2
    assert {int(number.replace(",", "")) for number in found} == {model.count_params()}


def test_a_slice_with_three_channels_becomes_a_probability_map(model):
    assert model.input_shape == (None, 256, 256, 3)
    assert model.output_shape == (None, 256, 256, 1)
    assert model.layers[-1].activation.__name__ == "sigmoid"


def test_each_stage_halves_the_grid_and_the_decoder_doubles_it_again(model):
    sides = [layer.output.shape[1] for layer in model.layers if layer.name.startswith("add")]
    assert sides == [256, 128, 64, 32, 16, 32, 64, 128, 256]


def test_the_shortcut_is_normalized_but_not_activated(model):
    for add in (layer for layer in model.layers if layer.name.startswith("add")):
        branches = [tensor._keras_history.operation.name for tensor in add.input]
        assert any(name.endswith("shortcut_norm") for name in branches)
        assert not any(name.startswith("activation") for name in branches)


def test_upsampling_is_nearest(model):
    assert {layer.interpolation for layer in model.layers if "up_sampling" in layer.name} == {
        "nearest"
    }
