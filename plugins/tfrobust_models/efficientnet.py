"""EfficientNet-B1: inverted bottlenecks with squeeze and excitation, scaled as a whole.

Tan & Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (2019). Built
by `keras.applications`, which rescales pixels of 0 … 255 itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tfrobust.options import plugin
from tfrobust.types import ImageShape
from tfrobust_models.imagenet import ImageNetModel, has_new_head
from tfrobust_models.pixels import BYTES

_SIDE = 240  # of the images it was trained on


@plugin
class EfficientNetB1(ImageNetModel):
    """EfficientNet-B1, with the dropout and stochastic depth of `keras.applications`."""

    application = staticmethod(keras.applications.EfficientNetB1)
    imagenet_pixels = BYTES
    untrained_pixels = dataclasses.replace(BYTES, colour=False)

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        whole = not has_new_head(num_classes)
        return self._from_keras(image_shape, num_classes, whole=whole, side=_SIDE)
