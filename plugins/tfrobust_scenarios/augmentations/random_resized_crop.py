"""A random part of the image, enlarged to its size.

The part has a share of the area uniform in [min_scale, max_scale] and a ratio of width to height
log-uniform in [min_ratio, max_ratio]. What does not fit is drawn again; after ten times it is the
largest part in the middle whose ratio is allowed.

torchvision's `RandomResizedCrop` and `RandomHorizontalFlip`; bilinear. Departures: none (a part is
never larger than the image, so nothing shrinks and antialiasing changes nothing).
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfrobust.options import option, plugin
from tfrobust.random import uniform
from tfrobust.scenario import BatchShift
from tfrobust.types import Images, Seeds

_TRIES = 10


@plugin
class RandomResizedCrop(BatchShift):
    """Enlarges a random part of each image; some are mirrored."""

    min_scale: float = option("smallest share of the area", default=0.08, gt=0, le=1)
    max_scale: float = option("largest share of the area", default=1.0, gt=0, le=1)
    min_ratio: float = option("smallest ratio of width to height", default=3 / 4, gt=0)
    max_ratio: float = option("largest ratio of width to height", default=4 / 3, gt=0)
    flip: float = option("share of images that are mirrored", default=0.0, ge=0, le=1)

    def __post_init__(self) -> None:
        for name in ("scale", "ratio"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise ValueError(f"min_{name}: expected at most max_{name}, {high:g}")

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Crop and enlarge; see `Shift`."""
        drawn = uniform(seeds, [2 * _TRIES + 3])
        area, ratio, rest = tf.split(drawn, [_TRIES, _TRIES, 3], axis=1)
        height, width = self._size(images.shape[1:3], area, ratio)
        top = tf.floor(rest[:, 0] * (images.shape[1] - height + 1))
        left = tf.floor(rest[:, 1] * (images.shape[2] - width + 1))
        fitted = self._centred(images.shape[1:3])
        none = height == 0
        box = [
            tf.where(none, float(whole), part)
            for whole, part in zip(fitted, (top, left, height, width), strict=True)
        ]
        cropped = enlarged(images, *box)
        mirrored = (rest[:, 2] < self.flip)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        return tf.where(mirrored, cropped[:, :, ::-1], cropped)

    def _size(self, shape: Any, area: Any, ratio: Any) -> tuple[Any, Any]:
        """Return height and width of the first part that fits, `(batch,)`; 0 where none does."""
        area = (self.min_scale + area * (self.max_scale - self.min_scale)) * (shape[0] * shape[1])
        low, high = math.log(self.min_ratio), math.log(self.max_ratio)
        ratio = tf.exp(low + ratio * (high - low))
        width, height = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
        fits = (width > 0) & (width <= shape[1]) & (height > 0) & (height <= shape[0])
        first = tf.argmax(fits, axis=1)
        sides = [tf.gather(side, first, batch_dims=1) for side in (height, width)]
        any_fits = tf.cast(tf.reduce_any(fits, axis=1), tf.float32)
        return sides[0] * any_fits, sides[1] * any_fits

    def _centred(self, shape: Any) -> tuple[int, int, int, int]:
        """Return top, left, height and width of the largest part of an allowed ratio."""
        height, width = int(shape[0]), int(shape[1])
        if width / height < self.min_ratio:
            height = round(width / self.min_ratio)
        elif width / height > self.max_ratio:
            width = round(height * self.max_ratio)
        return (shape[0] - height) // 2, (shape[1] - width) // 2, height, width


def enlarged(images: Images, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Return a part of each image, bilinearly enlarged to the image's size.

    Args:
        images: float32 `(batch, height, width, channels)`.
        top: float32 `(batch,)`, the first row, a whole number.
        left: the first column, in the same way.
        height: its rows; 1 or more.
        width: its columns; 1 or more.
    """
    rows = _weights(images.shape[1], top, height)
    columns = _weights(images.shape[2], left, width)
    # Sums of weights that are rounded may leave the range by the last bit.
    return tf.clip_by_value(tf.einsum("bih,bjw,bhwc->bijc", rows, columns, images), 0.0, 1.0)


def _weights(size: int, start: Any, length: Any) -> Any:
    """Return what each of `size` new pixels takes of the old ones, `(batch, size, size)`."""
    start, length = start[:, tf.newaxis], length[:, tf.newaxis]
    place = (tf.range(size, dtype=tf.float32) + 0.5) * length / size - 0.5
    place = start + tf.clip_by_value(place, 0.0, length - 1)
    away = place[:, :, tf.newaxis] - tf.range(size, dtype=tf.float32)
    return tf.maximum(1.0 - tf.abs(away), 0.0)
