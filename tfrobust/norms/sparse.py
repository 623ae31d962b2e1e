"""L1 and L0: balls in which few pixels move by much."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust import random
from tfrobust.norms.contract import PIXELS, RADIUS, TINY, Region, radii, way_and_room
from tfrobust.types import Images, PerImage, Seeds

_ROUNDING = 2e-6  # of a float32 sum over some thousand pixels
_FEW = 48  # pixels that an L1 step fills, in most cases


class L1:
    """Σ|x|: the sum of all changes; few pixels change, each by much.

    A pixel that has reached the end of [0, 1] takes no more, so that walls matter here as in no
    other norm: Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks" (2021).
    """

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the sum of the pixel differences."""
        return tf.reduce_sum(tf.abs(images - others), PIXELS)

    def region(self, clean: Images, eps: Any) -> Region:
        """Return the centre and the radius, shortened by what float32 sums may be off."""
        return clean, radii(clean, eps) * (1.0 - _ROUNDING)

    def project(self, images: Images, region: Region) -> Images:
        """Return the nearest image (in L2) inside both the ball and [0, 1].

        min(max(|u| − λ, 0), room) with the sign of u: λ is 0 inside the ball, and otherwise
        where the sum is the radius.
        """
        centre, radius = region
        change = images - centre
        room = tf.where(change > 0, 1.0 - centre, centre)
        size = tf.abs(change)
        kept = tf.clip_by_value(size - _soft_threshold(size, room, radius), 0.0, room)
        total = tf.reduce_sum(kept, PIXELS, keepdims=True)
        kept *= tf.minimum(1.0, radius / tf.maximum(total, TINY))  # the last bits of rounding
        return tf.clip_by_value(centre + tf.sign(change) * kept, 0.0, 1.0)

    def dual(self, gradient: Images) -> PerImage:
        """Return the largest absolute value."""
        return tf.reduce_max(tf.abs(gradient), PIXELS)

    def steepest(self, gradient: Images) -> Images:
        """Return the sign of the largest entry; equal ones share."""
        size = tf.abs(gradient)
        largest = tf.cast(size == tf.reduce_max(size, PIXELS, keepdims=True), gradient.dtype)
        share = largest / tf.reduce_sum(largest, PIXELS, keepdims=True)
        return share * tf.sign(gradient)

    def step(self, images: Images, gradient: Images, length: Any, region: Region) -> Images:
        """Step towards the corner of the region that the gradient points at (Frank & Wolfe 1956).

        A step along `steepest` would push the same pixel against its wall every time.
        """
        way = self._corner(gradient, region) - images
        reach = tf.reduce_sum(tf.abs(way), PIXELS, keepdims=True)
        there = tf.cast(tf.reduce_any(gradient != 0, PIXELS, keepdims=True), images.dtype)
        return images + there * tf.minimum(1.0, length / tf.maximum(reach, TINY)) * way

    def _corner(self, gradient: Images, region: Region) -> Images:
        """Return argmax ⟨gradient, x⟩ over the region: fill the steepest pixels to their walls."""
        centre, radius = region
        room = tf.where(gradient > 0, 1.0 - centre, centre)
        share = _fill_steepest(tf.abs(gradient), room, radius)
        return centre + tf.sign(gradient) * share * room

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Draw signed exponentials over their sum, one of which belongs to no pixel."""
        size = -tf.math.log1p(-random.uniform(seeds, shape))
        rest = -tf.math.log1p(-random.uniform(random.fold(seeds, RADIUS), (1, 1, 1)))
        sign = tf.sign(random.uniform(random.fold(seeds, -RADIUS), shape, -1.0, 1.0))
        return eps * sign * size / (tf.reduce_sum(size, PIXELS, keepdims=True) + rest)

    def cross(self, images: Images, normal: Images, gap: PerImage) -> Images:
        """Move the pixels that raise the sum most to their walls, one after the other."""
        gap, way, room = way_and_room(images, normal, gap)
        steep = tf.abs(normal)
        share = _fill_steepest(steep, steep * room, gap)
        return tf.clip_by_value(images + way * share * room, 0.0, 1.0)


class L0:
    """How many pixels change, all channels as one. The ball is not convex: no gradient step."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the number of changed pixels."""
        changed = tf.reduce_any(images != others, axis=3)
        return tf.reduce_sum(tf.cast(changed, tf.float32), (1, 2))

    def region(self, clean: Images, eps: Any) -> Region:
        """Return the centre and the number of pixels."""
        return clean, radii(clean, eps)

    def project(self, images: Images, region: Region) -> Images:
        """Keep the pixels that changed most, as many as the ball allows, and clip."""
        centre, radius = region
        inside = tf.clip_by_value(images, 0.0, 1.0)
        size = tf.reduce_sum(tf.square(inside - centre), axis=3)
        flat = tf.reshape(size, (tf.shape(size)[0], tf.reduce_prod(tf.shape(size)[1:])))
        order = tf.argsort(flat, direction="DESCENDING", stable=True)
        rank = tf.reshape(tf.argsort(order), tf.shape(size))
        keep = tf.cast(rank, tf.float32)[..., None] < radius
        return tf.where(keep, inside, centre)


def _fill_steepest(slope: Images, takes: Images, amount: Any) -> Images:
    """Distribute an amount to the pixels with the largest slope, up to what each can take.

    Args:
        slope: `(batch, height, width, channels)`, ≥ 0; a pixel of slope 0 gets nothing.
        takes: how much each pixel can take, of the same shape.
        amount: `(batch, 1, 1, 1)`.

    Returns:
        What each pixel gets, as a share of `takes` from 0 to 1; equal slopes get equal shares.
    """
    slope = slope * tf.cast(takes > 0, slope.dtype)  # nothing is dealt to a pixel at its wall
    last = _last_slope(slope, takes, amount)[:, None, None, None]
    above = tf.cast(slope > last, slope.dtype)
    tied = tf.cast((slope == last) & (slope > 0), slope.dtype)
    left = tf.maximum(amount - tf.reduce_sum(above * takes, PIXELS, keepdims=True), 0.0)
    wanted = tf.reduce_sum(tied * takes, PIXELS, keepdims=True)
    return above + tied * tf.minimum(1.0, left / tf.maximum(wanted, TINY))


def _last_slope(slope: Images, takes: Images, amount: Any) -> PerImage:
    """Return the slope of the pixel that gets the last of the amount."""
    pixels = tf.reduce_prod(tf.shape(slope)[1:])
    flat = tf.reshape(slope, (tf.shape(slope)[0], pixels))
    room = tf.reshape(takes, tf.shape(flat))

    def among(count: Any) -> tuple[PerImage, Any]:
        falling, order = tf.nn.top_k(flat, count)
        taken = tf.cumsum(tf.gather(room, order, batch_dims=1), axis=1)
        full = tf.math.count_nonzero(taken < amount[:, :, 0, 0], 1, dtype=tf.int32)
        last = tf.gather(falling, tf.minimum(full, count - 1), batch_dims=1)
        return last, tf.reduce_all((full < count) | (falling[:, -1] <= 0))

    # Few pixels take it all, as a rule, or have a slope at all, and a whole sort costs three times
    # the search for a few.
    last, enough = among(tf.minimum(_FEW, pixels))
    return tf.cond(enough, lambda: last, lambda: among(pixels)[0])


def _soft_threshold(size: Images, room: Images, radius: Any) -> Any:
    """Solve Σ min(max(size − λ, 0), room) = radius for λ ≥ 0 by Newton's method in a bracket."""

    def excess(threshold: Any) -> tuple[Any, Any]:
        over = size - threshold
        total = tf.reduce_sum(tf.clip_by_value(over, 0.0, room), PIXELS, keepdims=True)
        moving = tf.cast((over > 0) & (over < room), size.dtype)
        return total - radius, tf.reduce_sum(moving, PIXELS, keepdims=True)

    def body(number: Any, threshold: Any, low: Any, high: Any, _: Any) -> Any:
        value, moving = excess(threshold)
        low = tf.where(value > 0, threshold, low)
        high = tf.where(value > 0, high, threshold)
        newton = threshold + value / tf.maximum(moving, 1.0)
        inside = (newton > low) & (newton < high)
        solved = (tf.abs(value) <= 1e-6 * radius) | ((value <= 0) & (threshold <= 0))
        better = tf.where(inside, newton, 0.5 * (low + high))
        return number + 1, tf.where(solved, threshold, better), low, high, solved

    low = tf.zeros_like(radius)
    high = tf.reduce_max(size, PIXELS, keepdims=True)
    return tf.while_loop(
        lambda number, _, low, high, solved: (number < 40) & ~tf.reduce_all(solved),
        body,
        (0, low, low, high, tf.zeros_like(radius, tf.bool)),
        parallel_iterations=1,
    )[1]
