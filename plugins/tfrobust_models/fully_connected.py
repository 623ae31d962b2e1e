"""A perceptron with one hidden layer, by default as wide as the image has pixels."""

from __future__ import annotations

import math

import keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel


@plugin
class FullyConnected(ModelBuilder):
    """Flatten – dense – ReLU – dense."""

    units: int | None = option("hidden units; none: one per pixel and channel", default=None, ge=1)

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`."""
        images = keras.Input(image_shape, name="images")
        x = keras.layers.Flatten()(images)
        x = keras.layers.Dense(self.units or math.prod(image_shape), activation="relu")(x)
        logits = keras.layers.Dense(num_classes, name="logits")(x)
        return keras.Model(images, logits, name="fully_connected")
