"""What Sparse-RS changes in an image, and how: any pixels; `sparse_shapes` has patches and frames.

The schedule is that of the paper's code: α falls with the share of the queries that is spent.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.types import Flags, Images, ImageShape

# α by the queries spent, of 10,000: the divisor of `alpha_init` from each number on.
_DIVISORS = {0: 1, 1: 2, 51: 4, 201: 5, 501: 6, 1001: 8, 2001: 10, 4001: 12, 6001: 15, 8001: 20}


class Changes(NamedTuple):
    """What is changed in each image."""

    colours: Any  # (batch, height, width, channels), or of a patch (batch, side, side, channels)
    place: (
        Any  # bool (batch, height, width): the pixels; or of a patch int32 (batch, 2): its corner
    )


class Moves(abc.ABC):
    """The changes of one kind.

    Args:
        shape: of the images.
        count: number of pixels, side of the patch or width of the frame; one of `counts(shape)`.
    """

    def __init__(self, shape: ImageShape, count: int) -> None:
        self.shape, self.count = shape, count

    @classmethod
    def fitting(cls, shape: ImageShape, pixels: int) -> Moves | None:
        """Return the largest that has at most this many pixels; `None` if none has."""
        counts = [count for count in cls.counts(shape) if cls.pixels(shape, count) <= pixels]
        return cls(shape, counts[-1]) if counts else None

    @staticmethod
    @abc.abstractmethod
    def counts(shape: ImageShape) -> range:
        """Return every `count` that such images can have."""

    @staticmethod
    @abc.abstractmethod
    def pixels(shape: ImageShape, count: int) -> int:
        """Return how many pixels change."""

    @abc.abstractmethod
    def start(self, clean: Images, seed: Any) -> Changes:
        """Draw the first candidate."""

    @abc.abstractmethod
    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Return candidate `number`; `spent` is the share of the queries until then."""

    @abc.abstractmethod
    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return the changed images."""

    def share(self, alpha: float, spent: Any) -> Any:
        """Return α, float32 scalar."""
        first = tf.constant(list(_DIVISORS), tf.float32) / 10_000.0
        rank = tf.searchsorted(first, tf.reshape(spent, (1,)), side="right")[0] - 1
        return alpha / tf.gather(tf.constant(list(_DIVISORS.values()), tf.float32), rank)


class PixelMoves(Moves):
    """Any pixels: a share of them moves to other places and gets other colours."""

    @staticmethod
    def counts(shape: ImageShape) -> range:
        """Return from one to all pixels."""
        return range(1, shape[0] * shape[1] + 1)

    @staticmethod
    def pixels(shape: ImageShape, count: int) -> int:
        """Return the number itself."""
        return count

    def start(self, clean: Images, seed: Any) -> Changes:
        """Draw pixels and colours."""
        height, width, _ = self.shape
        order = tf.argsort(tf.random.stateless_uniform((height * width,), seed))
        chosen = tf.reduce_any(tf.one_hot(order[: self.count], height * width) > 0, axis=0)
        rows = (tf.shape(clean)[0], height, width)
        place = tf.broadcast_to(tf.reshape(chosen, (1, height, width)), rows)
        colours = corners((1, *self.shape), seed + tf.constant([0, -1]))
        return Changes(_visible(clean, colours), place)

    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Leave some pixels for as many others."""
        height, width, _ = self.shape
        pixels = height * width
        moving = tf.cast(self.share(alpha, spent) * self.count, tf.int32)
        moving = tf.minimum(tf.maximum(moving, 1), pixels - self.count)
        drawn = tf.random.stateless_uniform((2, 1, pixels), tf.stack([seed, 2 * number]))
        inside = tf.reshape(now.place, (-1, pixels))
        leaving = _highest(tf.where(inside, drawn[0], -1.0), moving)
        coming = _highest(tf.where(inside, -1.0, drawn[1]), moving)
        place = tf.reshape((inside & ~leaving) | coming, tf.shape(now.place))
        fresh = corners((1, *self.shape), tf.stack([seed, 2 * number + 1]))
        new = tf.reshape(coming, (-1, height, width, 1))
        return Changes(tf.where(new, fresh, now.colours), place)

    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return images with the pixels in their colours."""
        return tf.where(changes.place[..., None], _visible(clean, changes.colours), clean)


def corners(shape: Any, seed: Any) -> Any:
    """Draw values of 0 and 1, float32."""
    return tf.floor(2.0 * tf.random.stateless_uniform(shape, seed))


def _visible(clean: Images, colours: Any) -> Any:
    """Return the colours, or the opposite ones where they are those of the image."""
    same = tf.reduce_all(tf.equal(clean, colours), axis=3, keepdims=True)
    return tf.where(same, 1.0 - colours, colours)


def _highest(scores: Any, count: Any) -> Flags:
    """Return where the `count` highest scores of each row are, bool `(batch, pixels)`."""
    order = tf.math.top_k(scores, count).indices
    batch = tf.shape(scores)[0]
    rows = tf.repeat(tf.range(batch), count)
    index = tf.stack([rows, tf.reshape(order, (-1,))], axis=1)
    return tf.scatter_nd(index, tf.ones_like(rows), tf.shape(scores)) > 0
