"""From images in [0, 1] to the pixels a network was trained on, inside the network.

Plain Keras layers do it, so that a stored model needs neither this package nor unsafe loading.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tfrobust.types import ImageShape

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
_MEAN_255 = (123.68, 116.779, 103.939)  # the same as Caffe's networks had it, in 0 … 255
_RGB = 3


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """scale · pixel + offset; one number for all channels, or one each of red, green and blue.

    Attributes:
        scale: of a pixel in [0, 1].
        offset: added to it.
        colour: whether the network was made for colour images: a grey one is then repeated on
            three channels.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    colour: bool = True

    def entrance(self, image_shape: ImageShape) -> tuple[Any, Any]:
        """Return a model's input, and the pixels its first layer reads.

        Channels other than 1 and 3 share the mean of the three numbers.
        """
        images = keras.Input(image_shape, name="images")
        x = images
        if self.colour and image_shape[-1] == 1:
            x = keras.layers.Concatenate(name="grey_to_rgb")([images] * _RGB)
        scale, offset = (_for_channels(value, x.shape[-1]) for value in (self.scale, self.offset))
        return images, keras.layers.Rescaling(scale, offset, name="pixels")(x)


def _for_channels(values: tuple[float, ...], channels: int) -> float | list[float]:
    if len(values) == channels:
        return list(values)
    return sum(values) / len(values)


# From -1 to 1: networks that start from random weights, and those TensorFlow trained.
CENTRED = PixelRange((2.0,), (-1.0,))
UNTRAINED = dataclasses.replace(CENTRED, colour=False)
# 0 … 255 less the mean colour. Caffe's order is blue, green, red; turning the first kernel round
# does what turning every image would (`applications`).
CAFFE = PixelRange((255.0,), tuple(-mean for mean in _MEAN_255))
# Mean 0 and deviation 1 on ImageNet.
TORCHVISION = PixelRange(
    tuple(1 / deviation for deviation in _DEVIATION),
    tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
)
# Mean 0 and deviation 1 on CIFAR-10's training images.
_CIFAR_MEAN, _CIFAR_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR10 = PixelRange(
    tuple(1 / deviation for deviation in _CIFAR_DEVIATION),
    tuple(-mean / dev for mean, dev in zip(_CIFAR_MEAN, _CIFAR_DEVIATION, strict=True)),
)
# 0 … 255: the network goes on from there itself.
BYTES = PixelRange((255.0,), (0.0,))
