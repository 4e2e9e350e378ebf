"""Mixed precision where there is a GPU, and only there."""

import sys
from types import SimpleNamespace

import keras
import pytest

from liverseg.training.device import best_precision

pytestmark = pytest.mark.slow  # imports TensorFlow


@pytest.mark.parametrize(("devices", "precision"), [([], "float32"), (["gpu:0"], "mixed_float16")])
def test_training_is_mixed_on_a_gpu_of_tensorflow_or_jax(devices, precision, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: devices)
    assert best_precision() == precision


@pytest.mark.parametrize(("there", "precision"), [(False, "float32"), (True, "mixed_float16")])
def test_training_is_mixed_on_a_gpu_of_torch(there, precision, monkeypatch):
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: there))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert best_precision() == precision
