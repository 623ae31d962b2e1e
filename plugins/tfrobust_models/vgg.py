"""VGG-16 and VGG-19: 3×3 convolutions, poolings, dense layers.

Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition" (2015).
The published networks are those of `keras.applications`; with a state dict, another width, batch
normalisation or `stem=cifar` they are built here in torchvision's names. Departures: no dropout, as
in `keras.applications`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import pydantic

from tfrobust.options import option, plugin
from tfrobust.types import ImageShape
from tfrobust_models.applications import IMAGENET_CLASSES, SMALLEST
from tfrobust_models.imagenet import IMAGENET, scaled
from tfrobust_models.layers import normalized, rectified
from tfrobust_models.pixels import CAFFE
from tfrobust_models.torchvision import TorchvisionModel

_FILTERS = (64, 128, 256, 512, 512)
_UNITS = 4096
_POOLED = 7  # a side of the maps that torchvision's dense layers read
_SIDE = 224


@plugin
class _Vgg(TorchvisionModel):
    """Five groups of convolutions and three dense layers; with `stem=cifar` a single one."""

    convolutions: ClassVar[tuple[int, ...]]
    imagenet_pixels, blue_first, first = CAFFE, True, "features.0"
    he_normal = True

    batch_norm: bool = option("normalise after each convolution (torchvision's _bn)", default=False)

    @pydantic.field_validator("batch_norm")
    @classmethod
    def _check_batch_norm(cls, value: bool, info: pydantic.ValidationInfo) -> bool:
        if value and info.data.get("weights") == IMAGENET:
            raise ValueError(
                "keras.applications has no weights with it; give a file of torchvision's, or none"
            )
        return value

    @property
    def smallest_side(self) -> int:
        """Five poolings halve the image; those of `stem=cifar` round up."""
        return 1 if self.stem == "cifar" else SMALLEST

    @property
    def _standard(self) -> bool:
        return super()._standard and not self.batch_norm

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        if not self._by_keras:
            return self._built_here(image_shape, num_classes)
        return self._from_keras(
            image_shape,
            num_classes,
            whole=image_shape[:2] == (_SIDE, _SIDE),  # the first dense layer reads 7×7 maps
            new_head=self.head == "new" or num_classes != IMAGENET_CLASSES,
        )

    def _network(self, x: Any, num_classes: int) -> Any:
        cifar = self.stem == "cifar"
        x = self._features(x, "same" if cifar else "valid")
        if cifar:
            x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
            return _dense(x, num_classes, "classifier")
        if self._file:
            x = _pooled(x)
        x = keras.layers.Flatten(name="flatten")(x)
        for name in ("classifier.0", "classifier.3"):
            x = rectified(_dense(x, scaled(_UNITS, self.width), name))
        return _dense(x, num_classes, "classifier.6")

    def _features(self, x: Any, padding: str) -> Any:
        number = 0  # torchvision counts convolutions, normalisations, ReLUs and poolings
        for filters, repeats in zip(_FILTERS, self.convolutions, strict=True):
            for _ in range(repeats):
                x = keras.layers.Conv2D(
                    scaled(filters, self.width),
                    3,
                    padding="same",
                    kernel_initializer="he_normal",
                    name=f"features.{number}",
                )(x)
                if self.batch_norm:
                    x = normalized(x, f"features.{number + 1}")
                x = rectified(x)
                number += 3 if self.batch_norm else 2
            x = keras.layers.MaxPooling2D(padding=padding, name=f"features.{number}")(x)
            number += 1
        return x

    def _flattened(self) -> Mapping[str, tuple[int, int, int]]:
        return {"classifier.0": (_POOLED, _POOLED, scaled(_FILTERS[-1], self.width))}


@plugin
class Vgg16(_Vgg):
    """VGG-16: 13 convolutions and 3 dense layers."""

    convolutions = (2, 2, 3, 3, 3)
    application = staticmethod(keras.applications.VGG16)


@plugin
class Vgg19(_Vgg):
    """VGG-19: 16 convolutions and 3 dense layers."""

    convolutions = (2, 2, 4, 4, 4)
    application = staticmethod(keras.applications.VGG19)


def _pooled(x: Any) -> Any:
    """Average maps of any size as torchvision does.

    TensorFlow refuses to trace Keras's layer for maps that are one pixel high or wide, of images
    below 64 pixels. Repeating that pixel changes no average.
    """
    repeats = tuple(2 if side == 1 else 1 for side in x.shape[1:3])
    if 2 in repeats:
        x = keras.layers.UpSampling2D(repeats, name="repeated")(x)
    return keras.layers.AdaptiveAveragePooling2D(_POOLED, name="avgpool")(x)


def _dense(x: Any, units: int, name: str) -> Any:
    return keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(x)
