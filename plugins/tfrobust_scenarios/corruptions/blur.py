"""Defocus, glass, motion and zoom blur.

Defocus: a disk, slightly smoothed. Glass: G_σ ∗ shuffle(G_σ ∗ x), each pixel taking a neighbour's
place. Motion: half a Gaussian along a line. Zoom: the mean of the image and of enlarged ones.

Hendrycks & Dietterich (2019). What the authors' code does, and so this does:

- Glass: a pixel takes its neighbour's value and the neighbour keeps it. The code means to exchange
  them, but on colour images both sides of its assignment are views of one array. Neighbours lie
  −δ … δ − 1 away; pixels are visited from the last to the first, those near the border not at all.
- Motion: ImageMagick's kernel, exp(−i²/2σ²) for i = 0 … 2r, at the nearest pixels along the line;
  the border pixel repeats.
- Zoom: factors as `numpy.arange` gives them, with its last one where rounding adds it.

Departures: those of `corruption`; zoom of oblong images crops each side by the factor.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.options import plugin
from tfrobust.types import Image, Seed
from tfrobust_scenarios.corruptions.corruption import Corruption, Strengths
from tfrobust_scenarios.corruptions.filters import (
    correlated,
    filtering,
    gaussian,
    padded,
    smoothed,
)

_NOTHING = 1e-8  # a weight that no float32 pixel feels


@plugin
class DefocusBlur(Corruption):
    """A lens out of focus."""

    strengths: ClassVar[Strengths] = {  # radius of the disk, σ that smooths its edge
        32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    }

    def corrupted(self, image: Image, strength: tuple[float, float], seed: Seed) -> Any:
        """Blur with the disk; see `Corruption`."""
        return correlated(image, disk(*strength), "reflect")


def disk(radius: float, sigma: float) -> np.ndarray:
    """Return the kernel of a lens out of focus, without rows and columns of zeros."""
    side, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    across = np.arange(-side, side + 1)
    flat = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.float64)
    edge = filtering(len(flat), gaussian(sigma, reach), "reflect")
    kernel = edge @ (flat / flat.sum()) @ edge.T
    used = side - int(np.abs(across[kernel.max(0) > _NOTHING]).max())
    return kernel[used : len(kernel) - used, used : len(kernel) - used]


@plugin
class GlassBlur(Corruption):
    """Frosted glass."""

    strengths: ClassVar[Strengths] = {  # σ, δ: how far pixels come from, rounds
        32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        64: ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    }

    def corrupted(self, image: Image, strength: tuple[float, int, int], seed: Seed) -> Any:
        """Smooth, shuffle, smooth; see `Corruption`."""
        sigma, delta, rounds = strength
        height, width, _ = image.shape
        image = smoothed(image, sigma, border="edge", truncate=4.0)
        inner = rounds, 2, max(height - 2 * delta, 0), max(width - 2 * delta, 0)
        offsets = tf.random.stateless_uniform(inner, seed, -delta, delta, tf.int32)
        for number in range(rounds if all(inner) else 0):
            image = shuffled(image, offsets[number], delta)
        return smoothed(image, sigma, border="edge", truncate=4.0)


def shuffled(image: Image, offsets: Any, delta: int) -> Any:
    """Let each inner pixel, from the last to the first, take a neighbour's present value.

    Args:
        image: `(height, width, channels)`.
        offsets: int32 `(2, height − 2δ, width − 2δ)`: down and to the right, −δ … δ − 1, of the
            pixels from (δ + 1, δ + 1) on.
        delta: δ.
    """
    height, width, channels = image.shape
    rows = np.arange(delta + 1, height - delta + 1)
    columns = np.arange(delta + 1, width - delta + 1)
    places = rows[:, None] * width + columns
    down, right = rows[:, None] + offsets[0], columns + offsets[1]
    source = down * width + right
    # A source visited earlier has its new value by now: follow it to one that still has its own.
    visited = (down <= rows[-1]) & (right > delta) & (right <= columns[-1]) & (source > places)
    flat = tf.reshape(places, [-1, 1])
    itself = tf.range(height * width)
    chain = tf.tensor_scatter_nd_update(
        itself, flat, tf.reshape(tf.where(visited, source, places), [-1])
    )
    ends = tf.while_loop(
        lambda link: tf.reduce_any(tf.gather(link, link) != link),
        lambda link: (tf.gather(link, link),),
        (chain,),
    )[0]
    taken = tf.tensor_scatter_nd_update(itself, flat, tf.reshape(source, [-1]))
    pixels = tf.gather(tf.reshape(image, (-1, channels)), tf.gather(taken, ends))
    return tf.reshape(pixels, image.shape)


@plugin
class MotionBlur(Corruption):
    """A camera that moves."""

    keeps_geometry: ClassVar[bool] = False  # objects are drawn out of their boxes
    strengths: ClassVar[Strengths] = {  # radius, σ of the kernel
        32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    }

    def corrupted(self, image: Image, strength: tuple[int, float], seed: Seed) -> Any:
        """Move by up to 45° from level; see `Corruption`."""
        angle = tf.random.stateless_uniform((), seed, -45.0, 45.0)
        return moved(image, angle, *strength)


def moved(image: Image, angle: Any, radius: int, sigma: float) -> Any:
    """Return the image blurred along a line, as ImageMagick does.

    Args:
        image: `(height, width, channels)`.
        angle: of the line in degrees, clockwise from level.
        radius: the kernel has 2 `radius` + 1 weights, all on one side.
        sigma: of the kernel.
    """
    weights = np.exp(-np.square(np.arange(2 * radius + 1)) / (2.0 * sigma**2))
    weights = weights[weights / weights.sum() > _NOTHING]
    weights /= weights.sum()
    reach = len(weights) - 1
    wide = padded(image, reach, "edge")
    steps = tf.range(len(weights), dtype=tf.float32)
    radians = angle * (np.pi / 180.0)
    along = tf.stack([tf.sin(radians), tf.cos(radians)])
    # Half a pixel goes to the smaller one, ImageMagick's rule.
    offsets = tf.cast(tf.math.ceil(steps[:, None] * along - 0.5), tf.int32) + reach
    starts = tf.pad(offsets, [[0, 0], [0, 1]])
    blurred = tf.zeros_like(image)
    for step, weight in enumerate(weights):
        blurred += weight * tf.slice(wide, starts[step], image.shape)
    return blurred


@plugin
class ZoomBlur(Corruption):
    """A camera that zooms in."""

    keeps_geometry: ClassVar[bool] = False  # objects are drawn out of their boxes
    strengths: ClassVar[Strengths] = {  # factors: to below which, in which steps
        32: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        64: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        224: ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    }

    def corrupted(self, image: Image, strength: tuple[float, float], seed: Seed) -> Any:
        """Average the enlarged images and the image; see `Corruption`."""
        factors = np.arange(1, *strength)
        height, width, channels = image.shape
        rows = np.concatenate([zooming(height, factor) for factor in factors])
        columns = np.concatenate([zooming(width, factor) for factor in factors], axis=1)
        down = tf.tensordot(tf.constant(rows, tf.float32), image, 1)
        down = tf.reshape(down, (len(factors), height, width, channels))
        # One product sums over factors and columns: (width, factors × width) by the rest.
        across = tf.reshape(tf.transpose(down, (0, 2, 1, 3)), (-1, height * channels))
        total = tf.reshape(tf.constant(columns, tf.float32) @ across, (width, height, channels))
        return (image + tf.transpose(total, (1, 0, 2))) / (len(factors) + 1)


def zooming(length: int, factor: float) -> np.ndarray:
    """Return the matrix that enlarges the middle of a line, linearly, `(length, length)`."""
    kept = int(np.ceil(length / factor))
    enlarged = round(kept * factor)
    position = np.arange(enlarged) * ((kept - 1) / max(enlarged - 1, 1))
    first = np.minimum(np.floor(position).astype(int), max(kept - 2, 0))
    share = position - first
    matrix = np.zeros((enlarged, length))
    start, every = (length - kept) // 2, np.arange(enlarged)
    matrix[every, start + first] = 1 - share
    matrix[every, start + np.minimum(first + 1, kept - 1)] += share
    trim = (enlarged - length) // 2
    return matrix[trim : trim + length]
