"""A residual network for small images whose weights are quantized.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016), section 4.2, in the
precisions of `tfrobust_larq.lenet`. Departures: where a stage halves the image, the shortcut is a
1×1 convolution of stride 2 (the paper's option B), quantized and normalised like the others; the
paper's networks for small images pad with zeros there (option A). As in `lenet`, every weight is
quantized, the first and the last layer's too, and the logits are normalised.
"""

from __future__ import annotations

from typing import Any

import tf_keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel
from tfrobust_larq.layers import Precision, activated, convolution, dropped, logits
from tfrobust_larq.lenet import (
    activation_bits_option,
    high_option,
    low_option,
    step_option,
    weights_of,
)
from tfrobust_larq.profile import LarqModel


@plugin
class ResNetQuantized(LarqModel, ModelBuilder):
    """A residual network with 1-bit (sign), k-bit or float weights."""

    bits: int | None = option(
        "bits per weight, without zero; 1: sign; 2: 0, ±0.5, ±1; none: float",
        default=2,
        ge=1,
        le=16,
    )
    depth: int = option("number of layers, 6n + 2: 8, 14, 20, 32, 44, 56 …", default=8, ge=8)
    width: int = option(
        "filters of the first stage; each further stage doubles them", default=16, ge=1
    )
    dropout: float = option("dropout rate before the last layer", default=0.0, ge=0, lt=1)
    step: float | None = step_option()
    low: float = low_option()
    high: float = high_option()
    activation_bits: int | None = activation_bits_option()

    def __post_init__(self) -> None:
        if (self.depth - 2) % 6:
            raise ValueError("depth: expected 6n + 2, such as 8, 14, 20 or 32")
        self.precision()  # refuses what does not fit together

    def precision(self) -> Precision:
        """Return how weights are quantized."""
        return weights_of(self.bits, self.step, self.low, self.high, self.activation_bits)

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained `tf_keras` model; see `ModelBuilder.build`."""
        precision = self.precision()
        images = tf_keras.Input(image_shape, name="images")
        x = activated(convolution(images, precision, self.width, 3), precision)
        for stage in range(3):
            for block in range((self.depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                x = _block(x, precision, self.width << stage, stride)
        x = dropped(tf_keras.layers.GlobalAveragePooling2D()(x), self.dropout)
        name = f"resnet{self.depth}_quantized"
        return tf_keras.Model(images, logits(x, precision, num_classes), name=name)


def _block(x: Any, precision: Precision, filters: int, stride: int) -> Any:
    """Two 3×3 convolutions around a shortcut."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = convolution(x, precision, filters, 1, stride)
    y = activated(convolution(x, precision, filters, 3, stride), precision)
    y = convolution(y, precision, filters, 3)
    return activated(tf_keras.layers.Add()([shortcut, y]), precision)
