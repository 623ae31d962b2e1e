"""Plasma: a random height map by the diamond-square algorithm, on a torus.

Each round puts a point into the middle of every square and then of every edge: the mean of its four
neighbours plus uniform noise. The noise shrinks by `decay` a round.

Fournier, Fussell & Carpenter, "Computer rendering of stochastic models" (1982), as the fog of
Hendrycks & Dietterich (2019) uses it: the first noise is uniform in ±100², later ones in ±(100 /
decayʳ)², for the amplitude stands in it twice; the map is stretched to [0, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.types import Seed

_WIBBLE = 100.0


def plasma(draws: list[Any], decay: float) -> Any:
    """Return a height map in [0, 1], `(side, side)`.

    Args:
        draws: one a round, float32 `(3, n, n)` in [−1, 1) with n = 1, 2, 4, …: the noise of the
            squares' middles, of the upper and of the left edges. The side is twice the last n.
        decay: above 1; the lower, the rougher.
    """
    corners = tf.zeros((1, 1))
    wibble = _WIBBLE
    for draw in draws:
        squares, upper, left = tf.unstack(draw * wibble**2)
        row = corners + tf.roll(corners, -1, 0)
        middles = (row + tf.roll(row, -1, 1)) / 4.0 + squares
        beside = middles + tf.roll(middles, 1, 0)
        uppers = (beside + corners + tf.roll(corners, -1, 1)) / 4.0 + upper
        above = middles + tf.roll(middles, 1, 1)
        lefts = (above + corners + tf.roll(corners, -1, 0)) / 4.0 + left
        corners = _interleaved(corners, uppers, lefts, middles)
        wibble /= decay
    heights = corners - tf.reduce_min(corners)
    return heights / tf.reduce_max(heights)


def plasma_draws(seed: Seed, shape: Any) -> list[Any]:
    """Return what `plasma` needs for a map that covers an image of this shape."""
    rounds = max(int(np.ceil(np.log2(max(shape[0], shape[1])))), 1)
    counts = [3 * 4**r for r in range(rounds)]
    every = tf.random.stateless_uniform((sum(counts),), seed, -1.0, 1.0)
    parts = tf.split(every, counts)
    return [tf.reshape(part, (3, 2**r, 2**r)) for r, part in enumerate(parts)]


def _interleaved(corners: Any, uppers: Any, lefts: Any, middles: Any) -> Any:
    side = corners.shape[0]
    cells = tf.stack([tf.stack([corners, uppers], 2), tf.stack([lefts, middles], 2)], 1)
    return tf.reshape(cells, (2 * side, 2 * side))
