"""L1 and L0: balls in which few pixels move by much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust import random
from tfrobust.norms.contract import PIXELS, RADIUS, TINY, Region, radii, way_and_room
from tfrobust.types import Images, PerImage, Seeds

_ROUNDING = 2e-6  # of a float32 sum over some thousand pixels
_FEW = 48  # pixels that a step to a hyperplane fills, in most cases
_MORE = 8  # pixels looked at beyond those that an L1 step fills, as a rule


class L1:
    """Σ|x|: the sum of all changes; few pixels change, each by much.

    A pixel that has reached the end of [0, 1] takes no more, so that walls matter here as in no
    other norm: Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks" (2021).
    """

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the sum of the pixel differences."""
        return tf.reduce_sum(tf.abs(images - others), PIXELS)

    def region(self, clean: Images, eps: Any) -> Region:
        """Return the centre, the radius and which way each pixel can move: once an attack.

        The radius is shortened by what float32 sums may be off. A pixel that can rise has 1 in the
        third tensor, one that can fall −1 in the fourth; the others have 0.
        """
        up, down = tf.cast(clean < 1, clean.dtype), -tf.cast(clean > 0, clean.dtype)
        return clean, radii(clean, eps) * (1.0 - _ROUNDING), up, down

    def project(self, images: Images, region: Region) -> Images:
        """Return the nearest image (in L2) inside both the ball and [0, 1].

        min(max(|u| − λ, 0), room) with the sign of u: λ is 0 inside the ball, and otherwise
        where the sum is the radius.
        """
        centre, radius, *_ = region
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
        centre, radius, up, down = region
        # The steepest pixels take half of the range each, as a rule, or more.
        few = tf.cast(tf.math.ceil(2.25 * tf.reduce_max(radius)), tf.int32) + _MORE
        slope = tf.maximum(gradient * up, gradient * down)

        def room(order: Any) -> Any:
            start = _rows(centre, order)
            return tf.where(_rows(gradient, order) > 0, 1.0 - start, start)

        order, share = _fill_steepest(slope, room, radius, few)
        return _moved(centre, order, share * room(order) * tf.sign(_rows(gradient, order)))

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
        takes = steep * room
        steep = tf.where(takes > 0, steep, 0.0)
        order, share = _fill_steepest(steep, lambda order: _rows(takes, order), gap, _FEW)
        moves = share * _rows(way * room, order)
        return tf.clip_by_value(_moved(images, order, moves), 0.0, 1.0)


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


def _fill_steepest(
    slope: Images, takes: Callable[[Any], Any], amount: Any, few: Any
) -> tuple[Any, Any]:
    """Distribute an amount to the pixels with the largest slope, up to what each can take.

    A whole sort costs several times the search for the few pixels that take it all, as a rule, or
    have a slope at all. Where those are not enough, four times as many are looked at, and so on.

    Args:
        slope: `(batch, height, width, channels)`, ≥ 0; a pixel of slope 0 gets nothing, as must
            one that can take nothing.
        takes: `(batch, some) -> (batch, some)`: how much these pixels can take.
        amount: `(batch, 1, 1, 1)`.
        few: how many pixels are looked at first.

    Returns:
        Which pixels get something, int32 `(batch, some)`, counted row by row, and how much, as a
        share of what it can take; equal slopes get equal shares.
    """
    pixels = tf.reduce_prod(tf.shape(slope)[1:])
    flat = tf.reshape(slope, (tf.shape(slope)[0], pixels))
    amount = amount[:, :, 0, 0]

    def among(count: Any) -> tuple[Any, Any, Any]:
        falling, order = tf.nn.top_k(flat, count)
        share, enough = _shares(falling, takes(order), amount)
        return order, share, enough | (count >= pixels)

    def more(count: Any, *_: Any) -> tuple[Any, ...]:
        count = tf.minimum(4 * count, pixels)
        return count, *among(count)

    count = tf.minimum(few, pixels)
    free = tf.TensorShape([None, None])
    _, order, share, _ = tf.while_loop(
        lambda count, order, share, enough: ~enough,
        more,
        (count, *among(count)),
        shape_invariants=(tf.TensorShape([]), free, free, tf.TensorShape([])),
        parallel_iterations=1,
    )
    return order, share


def _shares(falling: Any, takes: Any, amount: Any) -> tuple[Any, Any]:
    """Return what share of `takes` each pixel gets, and whether no other pixel gets anything.

    Args:
        falling: slopes, the largest first, `(batch, some)`.
        takes: how much these pixels can take.
        amount: `(batch, 1)`.
    """
    taken = tf.cumsum(takes, axis=1)
    full = tf.math.count_nonzero(taken < amount, 1, keepdims=True, dtype=tf.int32)
    some = tf.shape(falling)[1]
    last = tf.gather(falling, tf.minimum(full, some - 1), batch_dims=1)
    above = tf.cast(falling > last, falling.dtype)
    tied = tf.cast((falling == last) & (falling > 0), falling.dtype)
    left = tf.maximum(amount - tf.reduce_sum(above * takes, 1, keepdims=True), 0.0)
    wanted = tf.reduce_sum(tied * takes, 1, keepdims=True)
    # A pixel that is not among these may be as steep as the last one of them.
    least = falling[:, -1:]
    enough = tf.reduce_all(((full < some) & (least < last)) | (least <= 0))
    return above + tied * tf.minimum(1.0, left / tf.maximum(wanted, TINY)), enough


def _rows(images: Images, order: Any) -> Any:
    """Return the values of some pixels of each image, `(batch, some)`."""
    shape = tf.shape(images)
    flat = tf.reshape(images, (shape[0], tf.reduce_prod(shape[1:])))
    return tf.gather(flat, order, batch_dims=1)


def _moved(images: Images, order: Any, moves: Any) -> Images:
    """Return images of which some pixels have moved."""
    shape = tf.shape(images)
    pixels = tf.reduce_prod(shape[1:])
    places = order + pixels * tf.range(shape[0])[:, None]
    flat = tf.tensor_scatter_nd_add(
        tf.reshape(images, [-1]), tf.reshape(places, [-1, 1]), tf.reshape(moves, [-1])
    )
    return tf.reshape(flat, shape)


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
