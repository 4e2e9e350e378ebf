"""What a machine computes with."""

import sys

import keras


def best_precision() -> str:
    """Keras's dtype policy for training: mixed on a GPU, which is made for it, else float32."""
    return "mixed_float16" if has_gpu() else "float32"


def has_gpu() -> bool:
    """Whether the backend sees a GPU."""
    if keras.backend.backend() == "torch":  # whose devices Keras does not list
        return bool(sys.modules["torch"].cuda.is_available())
    return bool(keras.distribution.list_devices("gpu"))
