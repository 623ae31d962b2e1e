"""What Sparse-RS changes in an image, and how: some pixels, a patch or a frame.

The schedule and the ratio of moves are those of the paper's code: α falls with the share of the
queries that is spent; a patch moves in one candidate of five and changes colours in the others.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.types import Flags, Images, ImageShape

# α by the queries spent, of 10,000: the divisor of `alpha_init` from each number on.
_DIVISORS = {0: 1, 1: 2, 51: 4, 201: 5, 501: 6, 1001: 8, 2001: 10, 4001: 12, 6001: 15, 8001: 20}
_MOVING = 5  # one candidate of so many moves the patch
_FARTHEST = 0.75  # of the image's side: how far a patch may move at first


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

    def _share(self, alpha: float, spent: Any) -> Any:
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
        colours = _corners((1, *self.shape), seed + tf.constant([0, -1]))
        return Changes(_visible(clean, colours), place)

    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Leave some pixels for as many others."""
        height, width, _ = self.shape
        pixels = height * width
        moving = tf.cast(self._share(alpha, spent) * self.count, tf.int32)
        moving = tf.minimum(tf.maximum(moving, 1), pixels - self.count)
        drawn = tf.random.stateless_uniform((2, 1, pixels), tf.stack([seed, 2 * number]))
        inside = tf.reshape(now.place, (-1, pixels))
        leaving = _highest(tf.where(inside, drawn[0], -1.0), moving)
        coming = _highest(tf.where(inside, -1.0, drawn[1]), moving)
        place = tf.reshape((inside & ~leaving) | coming, tf.shape(now.place))
        fresh = _corners((1, *self.shape), tf.stack([seed, 2 * number + 1]))
        new = tf.reshape(coming, (-1, height, width, 1))
        return Changes(tf.where(new, fresh, now.colours), place)

    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return images with the pixels in their colours."""
        return tf.where(changes.place[..., None], _visible(clean, changes.colours), clean)


class PatchMoves(Moves):
    """A square of pixels, which moves and whose windows change colour."""

    @staticmethod
    def counts(shape: ImageShape) -> range:
        """Return the sides of squares within the image."""
        return range(1, min(shape[:2]) + 1)

    @staticmethod
    def pixels(shape: ImageShape, count: int) -> int:
        """Return the area."""
        return count**2

    def start(self, clean: Images, seed: Any) -> Changes:
        """Draw a corner, and stripes of random colours."""
        batch = tf.shape(clean)[0]
        drawn = tf.random.stateless_uniform((1, 2), seed)
        stripes = _corners((1, 1, self.count, self.shape[2]), seed + tf.constant([0, -1]))
        colours = tf.broadcast_to(stripes, (batch, self.count, self.count, self.shape[2]))
        return Changes(colours, tf.tile(tf.cast(drawn * self._room(1.0), tf.int32), [batch, 1]))

    def _room(self, more: float = 0.0) -> Any:
        """Return how far down and to the right the corner can be."""
        return np.array([self.shape[0] - self.count, self.shape[1] - self.count]) + more

    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Move the patch, or give a window of it one colour."""
        drawn = tf.random.stateless_uniform((4,), tf.stack([seed, 2 * number]))
        corner = _corners((self.shape[2],), tf.stack([seed, 2 * number + 1]))
        return tf.cond(
            number % _MOVING == _MOVING - 1,
            lambda: now._replace(place=self._moved(now.place, spent, drawn)),
            lambda: now._replace(
                colours=self._painted(now.colours, self._share(alpha, spent), drawn, corner)
            ),
        )

    def _moved(self, place: Any, spent: Any, drawn: Any) -> Any:
        farthest = _FARTHEST * (1.0 - spent) * np.array(self.shape[:2], np.float32)
        way = (2.0 * drawn[:2] - 1.0) * tf.maximum(farthest, 1.5)
        return tf.clip_by_value(place + tf.cast(way, tf.int32)[None], 0, self._room().astype(int))

    def _painted(self, colours: Any, alpha: Any, drawn: Any, corner: Any) -> Any:
        side = tf.maximum(tf.round(tf.sqrt(alpha) * self.count), 1.0)
        first = tf.floor(drawn[:2] * (self.count - side + 1.0))
        inside = _window((self.count, self.count), first, side)
        return tf.where(inside[None, :, :, None], corner, colours)

    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return images with the patch at its place."""
        place, side = changes.place, self.count
        rows, columns = (
            tf.range(length)[None] - place[:, axis, None]
            for axis, length in enumerate(self.shape[:2])
        )
        spread = tf.gather(changes.colours, tf.clip_by_value(rows, 0, side - 1), batch_dims=1)
        across = tf.clip_by_value(columns, 0, side - 1)
        spread = tf.gather(spread, across, axis=2, batch_dims=1)
        down, along = ((x >= 0) & (x < side) for x in (rows, columns))
        return tf.where((down[:, :, None] & along[:, None])[..., None], spread, clean)


class FrameMoves(Moves):
    """The border, whose windows change colour."""

    @staticmethod
    def counts(shape: ImageShape) -> range:
        """Return the widths; the widest frame is the whole image."""
        return range(1, (min(shape[:2]) + 1) // 2 + 1)

    @staticmethod
    def pixels(shape: ImageShape, count: int) -> int:
        """Return the area of the border."""
        return int(_frame(shape, count).sum())

    def start(self, clean: Images, seed: Any) -> Changes:
        """Draw vertical stripes."""
        rows = tf.shape(clean)[0]
        stripes = _corners((1, 1, *self.shape[1:]), seed)
        frame = tf.constant(_frame(self.shape, self.count))
        return Changes(
            tf.broadcast_to(stripes, (rows, *self.shape)),
            tf.broadcast_to(frame, (rows, *self.shape[:2])),
        )

    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Give a window around a pixel of the frame one colour."""
        places = np.argwhere(_frame(self.shape, self.count))
        drawn = tf.random.stateless_uniform((2,), tf.stack([seed, 2 * number]))
        centre = tf.gather(
            tf.constant(places, tf.float32), tf.cast(drawn[0] * len(places), tf.int32)
        )
        pixels = self._share(alpha, spent) * self.count**2
        side = tf.maximum(tf.round(tf.sqrt(pixels)), 1.0)
        inside = _window(self.shape[:2], centre - tf.floor(drawn[1] * side), side)
        corner = _corners((self.shape[2],), tf.stack([seed, 2 * number + 1]))
        return now._replace(colours=tf.where(inside[None, :, :, None], corner, now.colours))

    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return images in their frames."""
        return tf.where(changes.place[..., None], changes.colours, clean)


MOVES: dict[str, type[Moves]] = {"pixels": PixelMoves, "patch": PatchMoves, "frame": FrameMoves}


def _corners(shape: Any, seed: Any) -> Any:
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


def _window(sides: tuple[int, ...], first: Any, side: Any) -> Flags:
    """Return a square window, bool `(height, width)`."""
    down, across = (
        (place >= first[axis]) & (place < first[axis] + side)
        for axis, place in enumerate(tf.range(length, dtype=tf.float32) for length in sides)
    )
    return down[:, None] & across[None]


def _frame(shape: ImageShape, width: int) -> np.ndarray:
    """Return the pixels of a frame, bool `(height, width)`."""
    frame = np.ones(shape[:2], bool)
    frame[width : shape[0] - width, width : shape[1] - width] = False
    return frame
