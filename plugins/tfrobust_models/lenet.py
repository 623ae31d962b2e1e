"""LeNet-5: two convolutions, three dense layers.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (1998).
Departures: ReLU and max pooling instead of tanh and subsampling, all feature maps connected, and
padding in the convolutions, so that images from 4×4 upwards fit.
"""

from __future__ import annotations

import keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel


@plugin
class LeNet(ModelBuilder):
    """LeNet-5 with ReLU and max pooling."""

    width: int = option("multiplies the number of filters and hidden units", default=1, ge=1)

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained model; see `ModelBuilder.build`."""
        layers = keras.layers
        images = keras.Input(image_shape, name="images")
        x = images
        for filters in (6, 16):
            x = layers.Conv2D(filters * self.width, 5, padding="same", activation="relu")(x)
            x = layers.MaxPooling2D(padding="same")(x)
        x = layers.Flatten()(x)
        for units in (120, 84):
            x = layers.Dense(units * self.width, activation="relu")(x)
        return keras.Model(images, layers.Dense(num_classes, name="logits")(x), name="lenet")
