"""MobileNet: depthwise convolutions, each followed by a 1×1 convolution.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications"
(2017). The published network is that of `keras.applications`; variants for small images and other
widths are built here in the same layout. Departures of both: ReLU stops at 6.
"""

from __future__ import annotations

from typing import Any

import keras

from tfrobust.options import plugin
from tfrobust.types import ImageShape
from tfrobust_models.imagenet import ScalableModel, has_new_head, scaled
from tfrobust_models.layers import normalized
from tfrobust_models.pixels import CENTRED

_STEM = 32
_BLOCKS = (  # filters, stride
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip
_EPSILON = 1e-3  # keras.applications'
_SIDES = (128, 160, 192, 224)  # for which there are ImageNet weights; the last for any other


@plugin
class MobileNet(ScalableModel):
    """MobileNet: 27 convolutions, 13 of them depthwise."""

    application = staticmethod(keras.applications.MobileNet)
    imagenet_pixels = CENTRED

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        if self._by_keras:
            height, width, _ = image_shape
            side = height if height == width and height in _SIDES else _SIDES[-1]
            whole = not has_new_head(num_classes)
            return self._from_keras(image_shape, num_classes, whole=whole, side=side)
        images, x = self.untrained_pixels.entrance(image_shape)
        convolve = _Convolutions(self.width)
        x = convolve.full(x, _STEM, 3, 1 if self.stem == "cifar" else 2, "conv1")
        for number, (filters, stride) in enumerate(_BLOCKS, 1):
            x = convolve.depthwise(x, stride, f"conv_dw_{number}")
            x = convolve.full(x, filters, 1, 1, f"conv_pw_{number}")
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        logits = keras.layers.Dense(num_classes, name="predictions")(x)
        return keras.Model(images, logits, name="mobilenet")


class _Convolutions:
    """Convolutions followed by normalisation and ReLU6."""

    def __init__(self, width: float) -> None:
        self._width = width

    def full(self, x: Any, filters: int, size: int, stride: int, name: str) -> Any:
        x = keras.layers.Conv2D(
            scaled(filters, self._width),
            size,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        return self._ended(x, name)

    def depthwise(self, x: Any, stride: int, name: str) -> Any:
        x = keras.layers.DepthwiseConv2D(
            3,
            stride,
            padding="same",
            use_bias=False,
            # He's for a fan of 9: Keras counts all channels, and the signal would die out.
            depthwise_initializer=keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5),
            name=name,
        )(x)
        return self._ended(x, name)

    @staticmethod
    def _ended(x: Any, name: str) -> Any:
        x = normalized(x, f"{name}_bn", epsilon=_EPSILON)
        return keras.layers.ReLU(6, name=f"{name}_relu")(x)
