"""Random brightness, contrast and saturation.

x′ = clip(f x + (1 − f) o, 0, 1),  f uniform in [max(0, 1 − v), 1 + v]

o is black for brightness, the mean of the grey image for contrast, the grey image for saturation;
the three follow one another in random order.

torchvision's `ColorJitter` without hue, as it treats float images (it rounds those of 8 bits after
each of the three). Departures: images that are not of three channels are their channels' mean as
grey images, so saturation leaves one channel as it is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.options import option, plugin
from tfrobust.random import uniform
from tfrobust.scenario import BatchShift
from tfrobust.types import Images, Seeds

_LUMA = 0.2989, 0.587, 0.114  # red, green, blue: torchvision's


@plugin
class ColorJitter(BatchShift):
    """Changes brightness, contrast and saturation of each image, in random order."""

    keeps_geometry: ClassVar[bool] = True

    brightness: float = option("largest change of the brightness factor from 1", default=0.8, ge=0)
    contrast: float = option("largest change of the contrast factor from 1", default=0.8, ge=0)
    saturation: float = option(
        "largest change of the saturation factor from 1; colour only", default=0.8, ge=0
    )

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Change the colours; see `Shift`."""
        drawn = uniform(seeds, [6])
        changes = tf.constant([self.brightness, self.contrast, self.saturation])
        low = tf.maximum(1.0 - changes, 0.0)
        factors = low + drawn[:, :3] * (1.0 + changes - low)
        return jittered(images, factors, tf.argsort(drawn[:, 3:], axis=1))


def jittered(images: Images, factors: Any, order: Any) -> Any:
    """Return images of other brightness (0), contrast (1) and saturation (2).

    Args:
        images: float32 `(batch, height, width, channels)` in [0, 1].
        factors: float32 `(batch, 3)`, of 0, 1 and 2; 1 changes nothing.
        order: int32 `(batch, 3)`: which of them comes first, second and third.

    Returns:
        float32 of the images' shape, in [0, 1].
    """
    for position in range(3):
        which = order[:, position]
        factor = tf.gather(factors, which, batch_dims=1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        which = which[:, tf.newaxis, tf.newaxis, tf.newaxis]
        grey = greyed(images)
        mean = tf.reduce_mean(grey, (1, 2, 3), keepdims=True)
        other = tf.where(which == 0, 0.0, tf.where(which == 1, mean, grey))
        images = tf.clip_by_value(factor * images + (1.0 - factor) * other, 0.0, 1.0)
    return images


def greyed(images: Images) -> Any:
    """Return the grey images, float32 `(batch, height, width, 1)`."""
    channels = images.shape[-1]
    weights = _LUMA if channels == len(_LUMA) else (1.0 / channels,) * channels
    return tf.reduce_sum(images * tf.constant(weights), axis=-1, keepdims=True)
