"""Sparse-RS on shapes: a patch that moves, or a frame.

As in the paper's code, a patch moves in one candidate of five, at first by up to three quarters of
the image, and changes colours in the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.types import Flags, Images, ImageShape
from tfrobust_attacks.score.sparse_moves import Changes, Moves, PixelMoves, corners

_MOVING = 5  # one candidate of so many moves the patch
_FARTHEST = 0.75  # of the image's side: how far a patch may move at first


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
        stripes = corners((1, 1, self.count, self.shape[2]), seed + tf.constant([0, -1]))
        colours = tf.broadcast_to(stripes, (batch, self.count, self.count, self.shape[2]))
        return Changes(colours, tf.tile(tf.cast(drawn * self._room(1.0), tf.int32), [batch, 1]))

    def _room(self, more: float = 0.0) -> Any:
        """Return how far down and to the right the corner can be."""
        return np.array([self.shape[0] - self.count, self.shape[1] - self.count]) + more

    def move(self, now: Changes, spent: Any, alpha: float, seed: Any, number: Any) -> Changes:
        """Move the patch, or give a window of it one colour."""
        drawn = tf.random.stateless_uniform((4,), tf.stack([seed, 2 * number]))
        corner = corners((self.shape[2],), tf.stack([seed, 2 * number + 1]))
        return tf.cond(
            number % _MOVING == _MOVING - 1,
            lambda: now._replace(place=self._moved(now.place, spent, drawn)),
            lambda: now._replace(
                colours=self._painted(now.colours, self.share(alpha, spent), drawn, corner)
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
        stripes = corners((1, 1, *self.shape[1:]), seed)
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
        pixels = self.share(alpha, spent) * self.count**2
        side = tf.maximum(tf.round(tf.sqrt(pixels)), 1.0)
        inside = _window(self.shape[:2], centre - tf.floor(drawn[1] * side), side)
        corner = corners((self.shape[2],), tf.stack([seed, 2 * number + 1]))
        return now._replace(colours=tf.where(inside[None, :, :, None], corner, now.colours))

    def applied(self, clean: Images, changes: Changes) -> Images:
        """Return images in their frames."""
        return tf.where(changes.place[..., None], changes.colours, clean)


MOVES: dict[str, type[Moves]] = {"pixels": PixelMoves, "patch": PatchMoves, "frame": FrameMoves}


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
