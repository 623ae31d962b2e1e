"""Pastes a patch over images: at a place, an angle and a size of each image's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.random import uniform
from tfrobust.types import Images, PerImage, Seeds


class Place(NamedTuple):
    """Where a patch lies in each image, float32 `(batch,)` all.

    Attributes:
        row: of its centre, in pixels.
        column: of its centre, in pixels.
        angle: that it is turned by, in radians.
        side: of it, in pixels.
    """

    row: PerImage
    column: PerImage
    angle: PerImage
    side: PerImage


def drawn_places(
    seeds: Seeds, height: int, width: int, side: int, *, smallest: float, max_angle: float
) -> Place:
    """Draw where a patch lies; its inscribed circle is inside of the image.

    Args:
        seeds: int32 `(batch, 2)`.
        height: of the images, in pixels.
        width: of the images, in pixels.
        side: of the patch at its largest, in pixels.
        smallest: its smallest size, as a share of that.
        max_angle: largest angle, in radians.
    """
    down, right, turn, scale = tf.unstack(uniform(seeds, (4,)), axis=1)
    sides = side * (smallest + (1.0 - smallest) * scale)
    return Place(
        row=(sides - 1.0) / 2.0 + down * (height - sides),
        column=(sides - 1.0) / 2.0 + right * (width - sides),
        angle=max_angle * (2.0 * turn - 1.0),
        side=sides,
    )


def pasted(patch: Any, images: Images, place: Place, *, is_round: bool) -> Images:
    """Return the images with the patch over them; what it does not cover stays, bit for bit.

    The patch is interpolated bilinearly between its pixels: images can be differentiated by it.

    Args:
        patch: float32 `(side, side, channels)` in [0, 1].
        images: float32 `(batch, height, width, channels)` in [0, 1].
        place: where it lies in each image.
        is_round: paste the inscribed circle alone.
    """
    height, width = images.shape[1:3]
    rows = tf.range(height, dtype=tf.float32)[None, :, None] - place.row[:, None, None]
    columns = tf.range(width, dtype=tf.float32)[None, None, :] - place.column[:, None, None]
    cosine, sine = (f(place.angle)[:, None, None] for f in (tf.cos, tf.sin))
    half = place.side[:, None, None] / 2.0
    down = (cosine * rows + sine * columns) / half  # in the patch's own axes, −1 to 1
    right = (cosine * columns - sine * rows) / half
    if is_round:
        covered = tf.square(down) + tf.square(right) <= 1.0
    else:
        covered = (tf.abs(down) <= 1.0) & (tf.abs(right) <= 1.0)
    return tf.where(covered[..., None], _sampled(patch, down, right), images)


def _sampled(patch: Any, down: Any, right: Any) -> Any:
    """Return the patch at points from −1 to 1, `(batch, height, width, channels)`."""
    side = patch.shape[0]
    y, x = (
        tf.clip_by_value((at + 1.0) * side / 2.0 - 0.5, 0.0, side - 1.0) for at in (down, right)
    )
    top, left = tf.floor(y), tf.floor(x)
    below, beside = (y - top)[..., None], (x - left)[..., None]
    first_row, first_column = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    next_row, next_column = (tf.minimum(one + 1, side - 1) for one in (first_row, first_column))

    def at(row: Any, column: Any) -> Any:
        return tf.gather_nd(patch, tf.stack([row, column], axis=-1))

    upper = (1.0 - beside) * at(first_row, first_column) + beside * at(first_row, next_column)
    lower = (1.0 - beside) * at(next_row, first_column) + beside * at(next_row, next_column)
    return (1.0 - below) * upper + below * lower
