"""The folded network, its 8-bit export and the engine that runs it, on a tiny random network."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from liverseg.errors import WeightsError
from liverseg.model import build_resunet
from liverseg.network.engine import load_engine
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, write_config
from liverseg.training.int8.graph import WEIGHT_MAX, Int8Operations, integer_weights
from liverseg.training.int8.network import Layers, network
from liverseg.training.int8.quantize import export, slices_for
from liverseg.training.int8.ranges import FloatOperations, best_range, scale_and_zero
from liverseg.volume import Spacing, Volume

pytestmark = pytest.mark.slow

RECIPE = Recipe(size=32, filters=(4, 8, 12))


def random_network(seed):
    """With normalizations as after training: none of their weights is 0 or 1."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_resunet((RECIPE.size, RECIPE.size, 3), RECIPE.filters)
    for layer in model.layers:
        if "normalization" in layer.name:
            width = layer.gamma.shape[0]
            signs = rng.choice([-1, 1], width)
            layer.set_weights(
                [
                    signs * rng.uniform(0.5, 1.5, width),
                    rng.normal(0, 0.3, width),
                    rng.normal(0, 0.3, width),
                    rng.uniform(0.5, 2, width),
                ]
            )
    return model


def scan():
    """A bright block in noise; what it is does not matter to a random network."""
    rng = np.random.default_rng(0)
    hu = rng.normal(60, 60, (12, 64, 64)).astype(np.int16)
    hu[3:9, 20:44, 20:44] += 40
    liver = np.zeros(hu.shape, bool)
    liver[3:9, 20:44, 20:44] = True
    return Volume(hu, Spacing(2.0, 1.0, 1.0)), liver


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A weights folder with both engines' files."""
    folder = tmp_path_factory.mktemp("weights")
    names = {"liver": "liver.weights.h5", "tumor": "tumor.weights.h5"}
    for seed, name in enumerate(names.values()):
        random_network(seed).save_weights(folder / name)
    write_config(folder, RECIPE, names, {"by": "chance"})
    export(folder, [scan()])
    return folder


@pytest.fixture(scope="module")
def images():
    return slices_for("liver", *scan(), RECIPE)


def test_the_folded_network_is_the_same_function(images):
    model = random_network(5)
    found = FloatOperations().run(Layers(model), RECIPE.filters, images)
    np.testing.assert_allclose(found, np.asarray(model(images, training=False)), atol=2e-5)


def test_activations_are_of_all_batches(images):
    model, at_once, in_batches = random_network(5), FloatOperations(), FloatOperations()
    at_once.run(Layers(model), RECIPE.filters, images)
    for image in images:
        in_batches.run(Layers(model), RECIPE.filters, image[None])
    found = zip(at_once.activations(), in_batches.activations(), strict=True)
    for one, other in found:  # float16 is what is remembered
        for value, expected in zip(one, other, strict=True):
            np.testing.assert_allclose(value, expected, rtol=5e-3, atol=5e-3)


def test_what_is_added_has_equal_factors(images):
    floats = FloatOperations()
    image = floats._noted(images)
    loud, quiet = (floats.add(image, image) for _ in range(2))
    total = floats.add(loud, quiet)
    factors = [one.factors for one in floats.activations()]
    for number in (loud.number, quiet.number, image.number):
        np.testing.assert_array_equal(factors[number], factors[total.number])


def test_a_quiet_channel_is_amplified():
    floats = FloatOperations()
    noise = np.random.default_rng(0).normal(0, 1, (2, 16, 16, 2)).astype(np.float32)
    floats._noted(noise * [1.0, 0.01])
    (found,) = floats.activations()
    assert found.factors[0] == 1
    assert found.factors[1] == pytest.approx(0.1, rel=0.2)


def test_the_range_cuts_off_what_would_make_its_steps_coarse():
    values = np.append(np.random.default_rng(0).normal(0, 1, 100_000), 9.0).astype(np.float32)

    def error(of_range):
        scale, zero = scale_and_zero(of_range)
        cut = np.clip(np.rint(values / scale) + zero, 0, 255)
        return float(np.square((cut - zero) * scale - values).mean())

    whole, found = (float(values.min()), 9.0), best_range(values)
    assert whole[0] <= found[0] < 0 < found[1] < 9
    assert error(found) < 0.9 * error(whole)


def test_the_range_of_nothing_is_usable():
    scale, zero = scale_and_zero(best_range(np.zeros(5, np.float32)))
    assert scale > 0
    assert zero == 0


@pytest.mark.parametrize("network", ["liver", "tumor"])
def test_the_fast_engine_agrees_with_the_reference(folder, network):
    images = slices_for(network, *scan(), RECIPE)
    expected = np.stack(load_engine("reference", folder).predict(network, images))
    found = np.stack(load_engine("fast", folder).predict(network, images))
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).mean() < 0.2 * expected.std()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_export_keeps_what_config_said_and_adds_the_fast_files(folder):
    weights = load_config(folder)
    assert weights.recipe == RECIPE
    assert weights.trained == {"by": "chance"}
    assert set(weights.files) == {"liver", "tumor", "liver_fast", "tumor_fast"}


def test_auto_is_the_fast_engine_and_leaves_tensorflow_alone(folder):
    code = f"""
import sys, numpy as np
from liverseg.network.engine import load_engine
engine = load_engine("auto", {str(folder)!r})
engine.predict("liver", np.zeros((2, 32, 32, 3), np.float32))
print(engine.identity.split("-")[0], "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fast", "False", "False"]


def test_a_fast_file_that_is_no_network_is_refused(folder, tmp_path):
    names = {key: f"{key}.onnx" for key in ("liver_fast", "tumor_fast")}
    for name in names.values():
        (tmp_path / name).write_bytes(b"no network")
    write_config(tmp_path, RECIPE, names, {})
    with pytest.raises(WeightsError, match="does not work with the installed ONNX Runtime"):
        load_engine("fast", tmp_path)


def test_zero_is_exact_in_every_range():
    for value_range in [(0.0, 3.0), (-2.0, 1.0), (-5.0, -1.0), (2.0, 4.0), (0.0, 0.0)]:
        scale, zero = scale_and_zero(value_range)
        assert 0 <= zero <= 255
        low, high = min(value_range[0], 0), max(value_range[1], 0)
        assert scale * (0 - zero) == pytest.approx(low, abs=scale)
        assert scale * (255 - zero) == pytest.approx(high, abs=scale + 1e-5)


def test_integer_weights_are_within_half_a_step():
    layer = Layers(random_network(1)).convolution("stem_conv1")
    weights, scales, bias = integer_weights(layer, 0.02, np.zeros(1))
    assert np.abs(weights).max(axis=(0, 1, 2)).tolist() == [WEIGHT_MAX] * len(scales)
    assert (np.abs(weights * scales - layer.kernel) <= scales / 2 + 1e-9).all()
    np.testing.assert_allclose(bias * 0.02 * scales, layer.bias, atol=0.02 * scales.max())


def test_a_channel_without_weights_keeps_its_bias():
    layer = Layers(random_network(1)).convolution("stem_conv1")
    layer.kernel[..., 0] = 0
    layer.bias[0] = -3.0
    weights, scales, bias = integer_weights(layer, 0.02, np.zeros(1))
    assert not weights[..., 0].any()
    assert bias[0] * 0.02 * scales[0] == pytest.approx(-3.0, rel=1e-4)


def test_rounded_weights_keep_the_mean_of_the_result():
    layer = Layers(random_network(1)).convolution("stem_conv1")
    mean = np.array([0.2, 0.5, 0.9])
    weights, scales, bias = integer_weights(layer, 0.002, mean[:, None])
    expected = np.einsum("yxio,i->o", layer.kernel, mean) + layer.bias
    found = np.einsum("yxio,i->o", weights * scales, mean) + bias * 0.002 * scales
    np.testing.assert_allclose(found, expected, atol=0.002 * scales.max())


def test_every_activation_is_used_once(images):
    model, floats = random_network(5), FloatOperations()
    floats.run(Layers(model), RECIPE.filters, images)
    integers = Int8Operations(floats.activations())
    network(integers, Layers(model), RECIPE.filters, integers.image())
    with pytest.raises(StopIteration):
        integers.image()
