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
    for width in filters[1:]:
        x = _residual_block(x, width, strides=2)
        stages.append(x)  # (n, y / 2^k, x / 2^k, width)

    for _ in range(2):  # the bridge has no shortcut
        x = _normalized_convolution(x, filters[-1])

    for width, skip in zip(reversed(filters[1:]), reversed(stages[:-1]), strict=True):
        x = layers.UpSampling2D(2, interpolation="nearest")(x)
        x = layers.Concatenate()([x, skip])
        x = _residual_block(x, width)

    probability = layers.Conv2D(1, 1, padding="same", activation="sigmoid", dtype="float32")(x)
    return keras.Model(image, probability, name=name)


def _stem(image: Tensor, width: int) -> Tensor:
    x = layers.Conv2D(width, 3, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(width, 3, padding="same")(x)
    return layers.Add()([x, _shortcut(image, width)])


def _residual_block(x: Tensor, width: int, strides: int = 1) -> Tensor:
    residual = _normalized_convolution(x, width, strides)
    residual = _normalized_convolution(residual, width)
    return layers.Add()([residual, _shortcut(x, width, strides)])


def _normalized_convolution(x: Tensor, width: int, strides: int = 1) -> Tensor:
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    return layers.Conv2D(width, 3, padding="same", strides=strides)(x)


def _shortcut(x: Tensor, width: int, strides: int = 1) -> Tensor:
    x = layers.Conv2D(width, 1, padding="same", strides=strides)(x)
    return layers.BatchNormalization()(x)  # normalised but, as in the paper, not activated
