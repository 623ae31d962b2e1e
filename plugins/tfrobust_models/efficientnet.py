"""EfficientNet-B1: inverted bottlenecks with squeeze and excitation, scaled as a whole.

Tan & Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (2019). Built
by `keras.applications`, which rescales pixels of 0 … 255 itself.
Departures: none at `width=1`. Other widths multiply the filters of every layer, which the paper
rounds to multiples of 8, and leave the depth as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import pydantic

from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasLayer
from tfrobust_models.imagenet import ImageNetModel, check_published, has_new_head, scaled
from tfrobust_models.pixels import BYTES

_SIDE = 240  # of the images it was trained on


@plugin
class EfficientNetB1(ImageNetModel):
    """EfficientNet-B1, with the dropout and stochastic depth of `keras.applications`."""

    application = staticmethod(keras.applications.EfficientNetB1)
    imagenet_pixels = BYTES
    untrained_pixels = dataclasses.replace(BYTES, colour=False)

    width: float = option("multiplies the number of filters", default=1.0, gt=0, le=16)

    _check_width = pydantic.field_validator("width")(check_published)

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        whole = not has_new_head(num_classes)
        model = self._from_keras(image_shape, num_classes, whole=whole, side=_SIDE)
        return model if self.width == 1 else _of_width(model, self.width)


def _of_width(model: Any, width: float) -> Any:
    """Return an untrained model of other numbers of filters; the last layer keeps its classes."""

    def resized(layer: KerasLayer) -> KerasLayer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Conv2D):  # a depthwise convolution has no filters
            config["filters"] = scaled(layer.filters, width)
        elif isinstance(layer, keras.layers.Reshape):  # one number a filter, for the excitation
            config["target_shape"] = (
                *layer.target_shape[:-1],
                scaled(layer.target_shape[-1], width),
            )
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=resized)
