"""The paper's ResUNet: a pre-activation residual U-Net, the whole architecture in this file.

Both networks, liver and tumor, are this one. Written with keras and keras.ops only, so that it
runs on TensorFlow, JAX and torch. Table of layers: Kakroo and Mansotra, "Automatic Segmentation of
liver Tumor using Deep Learning".
"""

from typing import Any

import keras
from keras import layers

FILTERS = (16, 32, 64, 128, 256)
INPUT_SHAPE = (256, 256, 3)

Tensor = Any  # Keras has no types


def build_resunet(
    input_shape: tuple[int | None, int | None, int] = INPUT_SHAPE,
    filters: tuple[int, ...] = FILTERS,
    name: str = "resunet",
) -> keras.Model:
    """Builds the network: 4,723,057 parameters, 4,715,761 of them trainable, by default.

    Args:
        input_shape: (y, x, channels); y and x are multiples of 2 ** (len(filters) - 1), or None.
        filters: channels of the stem and of each stage below it; the last is the bridge's too.
        name: of the model.

    Returns:
        A model from (n, y, x, channels) float32 in [0, 1] to (n, y, x, 1) float32 probabilities.
    """
    image = keras.Input(input_shape, name="image")

    x = _stem(image, filters[0])
    stages = [x]
    for number, width in enumerate(filters[1:], 1):
        x = _residual_block(x, width, f"encoder{number}", strides=2)
        stages.append(x)  # (n, y / 2^k, x / 2^k, width)

    for number in (1, 2):  # the bridge has no shortcut
        x = _normalized_convolution(x, filters[-1], "bridge", number)

    ways_up = zip(reversed(filters[1:]), reversed(stages[:-1]), strict=True)
    for number, (width, skip) in enumerate(ways_up, 1):
        x = layers.UpSampling2D(2, interpolation="nearest")(x)
        x = layers.Concatenate()([x, skip])
        x = _residual_block(x, width, f"decoder{number}")

    output = layers.Conv2D(
        1, 1, padding="same", activation="sigmoid", dtype="float32", name="probability"
    )
    return keras.Model(image, output(x), name=name)


def _stem(image: Tensor, width: int) -> Tensor:
    x = layers.Conv2D(width, 3, padding="same", name="stem_conv1")(image)
    x = layers.BatchNormalization(name="stem_norm1")(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(width, 3, padding="same", name="stem_conv2")(x)
    return layers.Add()([x, _shortcut(image, width, "stem")])


def _residual_block(x: Tensor, width: int, name: str, strides: int = 1) -> Tensor:
    residual = _normalized_convolution(x, width, name, 1, strides)
    residual = _normalized_convolution(residual, width, name, 2)
    return layers.Add()([residual, _shortcut(x, width, name, strides)])


def _normalized_convolution(
    x: Tensor, width: int, name: str, number: int, strides: int = 1
) -> Tensor:
    x = layers.BatchNormalization(name=f"{name}_norm{number}")(x)
    x = layers.Activation("relu")(x)
    convolution = layers.Conv2D(
        width, 3, padding="same", strides=strides, name=f"{name}_conv{number}"
    )
    return convolution(x)


def _shortcut(x: Tensor, width: int, name: str, strides: int = 1) -> Tensor:
    convolution = layers.Conv2D(
        width, 1, padding="same", strides=strides, name=f"{name}_shortcut_conv"
    )
    # normalized but, as in the paper, not activated
    return layers.BatchNormalization(name=f"{name}_shortcut_norm")(convolution(x))
