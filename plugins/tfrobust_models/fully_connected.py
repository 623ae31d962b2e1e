"""A perceptron with one hidden layer, by default as wide as the image has pixels."""

from __future__ import annotations

import math
from typing import Literal

import keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel


@plugin
class FullyConnected(ModelBuilder):
    """Flatten – dense – activation – dense, of (pixel − mean) / deviation."""

    units: int | None = option("hidden units; none: one per pixel and channel", default=None, ge=1)
    activation: Literal["relu", "tanh"] = option("of the hidden units", default="relu")
    mean: float = option("subtracted from every pixel in [0, 1]", default=0.0)
    deviation: float = option("divides what is left of a pixel", default=1.0, gt=0)

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`.

        Example:
            Pixels from −1 to 1 are `mean=0.5, deviation=0.5`; MNIST at mean 0 and deviation 1 is
            `mean=0.1307, deviation=0.3081`.
        """
        images = keras.Input(image_shape, name="images")
        x = images
        if (self.mean, self.deviation) != (0.0, 1.0):
            scale = 1 / self.deviation
            x = keras.layers.Rescaling(scale, -self.mean * scale, name="pixels")(x)
        x = keras.layers.Flatten()(x)
        units = self.units or math.prod(image_shape)
        x = keras.layers.Dense(units, activation=self.activation)(x)
        logits = keras.layers.Dense(num_classes, name="logits")(x)
        return keras.Model(images, logits, name="fully_connected")
