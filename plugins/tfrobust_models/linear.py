"""A linear classifier: logits are an affine function of the pixels."""

from __future__ import annotations

import keras

from tfrobust.model import ModelBuilder
from tfrobust.options import plugin
from tfrobust.types import ImageShape, KerasModel


@plugin
class Linear(ModelBuilder):
    """Flatten – dense."""

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`."""
        images = keras.Input(image_shape, name="images")
        x = keras.layers.Flatten()(images)
        return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(x), name="linear")
