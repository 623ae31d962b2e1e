"""A part of the image's own size, at a random place of the image in a black margin.

x′ = x̂[i : i + height, j : j + width], x̂ the image with `padding` black pixels on each side; i and
j uniform in 0 … 2 · padding.

The augmentation of CIFAR's residual networks: He, Zhang, Ren & Sun, "Deep residual learning for
image recognition" (2016), who take it with 4 pixels and mirror half of the images. Departures:
none.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.options import option, plugin
from tfrobust.random import uniform
from tfrobust.scenario import BatchShift
from tfrobust.types import Images, Seeds


@plugin
class RandomCrop(BatchShift):
    """Moves each image by a few pixels, black at the border; some are mirrored."""

    padding: int = option("largest move in each direction, in pixels", default=4, ge=0)
    flip: float = option("share of images that are mirrored", default=0.5, ge=0, le=1)

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Move and mirror; see `Shift`."""
        drawn = uniform(seeds, [3])
        start = tf.cast(tf.floor(drawn[:, :2] * (2 * self.padding + 1)), tf.int32)
        margin = [self.padding, self.padding]
        moved = tf.pad(images, [[0, 0], margin, margin, [0, 0]])
        for axis in (1, 2):
            places = start[:, axis - 1, tf.newaxis] + tf.range(images.shape[axis])
            moved = tf.gather(moved, places, axis=axis, batch_dims=1)
        mirrored = (drawn[:, 2] < self.flip)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        return tf.where(mirrored, moved[:, :, ::-1], moved)
