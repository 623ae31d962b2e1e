"""Rotation by a random angle.

Each pixel takes the colour of the nearest one at its place turned back; beyond the border is black.

torchvision's `RandomRotation` with its defaults: about the centre, nearest neighbour, the size
stays. Departures: none.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfrobust.options import option, plugin
from tfrobust.random import uniform
from tfrobust.scenario import BatchShift
from tfrobust.types import Images, Seeds


@plugin
class Rotation(BatchShift):
    """Turns each image by a random angle within ± `degrees`."""

    degrees: float = option(
        "largest angle in either direction, in degrees", default=15, ge=0, le=180
    )

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Turn the images; see `Shift`."""
        return rotated(images, uniform(seeds, [], -self.degrees, self.degrees))


def rotated(images: Images, degrees: Any) -> Any:
    """Return images turned counter-clockwise by `degrees` `(batch,)`.

    Example:
        >>> image = tf.reshape([0.1, 0.2, 0.3, 0.4], (1, 2, 2, 1))
        >>> rotated(image, tf.constant([90.0]))[0, :, :, 0].numpy().tolist()
        [[0.2, 0.4], [0.1, 0.3]]
    """
    height, width, channels = images.shape[1:]
    radians = (degrees * (math.pi / 180))[:, tf.newaxis, tf.newaxis]
    # Pixel centres, measured from the middle of the image; rows run down.
    y = (tf.range(height, dtype=tf.float32) + 0.5 - height / 2)[:, tf.newaxis]
    x = tf.range(width, dtype=tf.float32) + 0.5 - width / 2
    from_x = tf.cos(radians) * x - tf.sin(radians) * y + width / 2
    from_y = tf.sin(radians) * x + tf.cos(radians) * y + height / 2
    column, row = (tf.cast(tf.floor(coordinates), tf.int32) for coordinates in (from_x, from_y))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = tf.where(inside, row * width + column, 0)
    flat = tf.reshape(images, (-1, height * width, channels))
    return tf.where(inside[..., tf.newaxis], tf.gather(flat, place, batch_dims=1), 0.0)
