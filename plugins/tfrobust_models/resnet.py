"""The CIFAR residual network: three stages of basic blocks, 6n + 2 layers.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016), section 4.2.
Departures: `width` scales the filters; a projection (1×1 convolution) stands in for the paper's
zero padding where the shape changes.
"""

from __future__ import annotations

from typing import Any

import keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel


@plugin
class ResNet(ModelBuilder):
    """A residual network for small images."""

    depth: int = option("number of layers, 6n + 2: 8, 14, 20, 32, 44, 56 …", default=8, ge=8)
    width: int = option(
        "filters of the first stage; each further stage doubles them", default=16, ge=1
    )

    def __post_init__(self) -> None:
        if (self.depth - 2) % 6:
            raise ValueError("depth: expected 6n + 2, such as 8, 14, 20 or 32")

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`."""
        images = keras.Input(image_shape, name="images")
        x = _convolution(images, self.width, 3, 1)
        x = keras.layers.ReLU()(x)
        for stage in range(3):
            for block in range((self.depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                x = _block(x, self.width << stage, stride)
        x = keras.layers.GlobalAveragePooling2D()(x)
        logits = keras.layers.Dense(num_classes, name="logits")(x)
        return keras.Model(images, logits, name=f"resnet{self.depth}")


def _block(x: Any, filters: int, stride: int) -> Any:
    """Two 3×3 convolutions around a shortcut."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, stride)
    y = keras.layers.ReLU()(_convolution(x, filters, 3, stride))
    y = _convolution(y, filters, 3, 1)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, y]))


def _convolution(x: Any, filters: int, size: int, stride: int) -> Any:
    x = keras.layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return keras.layers.BatchNormalization()(x)
