"""Brightness, contrast, elastic transform, pixelation and JPEG compression.

Brightness: V′ = min(V + c, 1) in HSV, hue and saturation as they are. Contrast: x′ = c (x − x̄) + x̄,
x̄ the mean of each channel. Elastic: a random affine map, then every pixel drawn aside by smoothed
noise. Pixelation: a box filter down, and up again. JPEG: coded and decoded.

Hendrycks & Dietterich (2019). Departures: those of `corruption`; elastic interpolates between
pixels exactly, where OpenCV rounds positions to 1/32 pixel, and its constants, shares of the side,
go by the image's shorter side (at 224×224 the authors' are shares of 244); a grey image is
a grey JPEG, and with neither one nor three channels each is one. The package `imagecorruptions`
1.1.2 departs from the published elastic transform: it has no affine map, at every severity a σ of
0.01 sides and noise within ±0.005 sides, and factors of 12.5, 16.25, 21.25, 25 and 30.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.options import plugin
from tfrobust.random import fold
from tfrobust.types import Image, Seed
from tfrobust_scenarios.corruptions.corruption import Corruption, Strengths
from tfrobust_scenarios.corruptions.filters import sampled, separable, smoothed

_244 = 244 / 224  # the slip of the published constants, which made the published images


@plugin
class Brightness(Corruption):
    """More light."""

    strengths: ClassVar[Strengths] = {  # added to the value
        32: (0.05, 0.1, 0.15, 0.2, 0.3),
        64: (0.1, 0.2, 0.3, 0.4, 0.5),
        224: (0.1, 0.2, 0.3, 0.4, 0.5),
    }

    def corrupted(self, image: Image, strength: float, seed: Seed) -> Any:
        """Raise the value; see `Corruption`."""
        value = tf.reduce_max(image, -1, keepdims=True)
        brighter = tf.minimum(value + strength, 1.0)
        # Hue and saturation are ratios of the channels; black has neither and turns grey.
        ratio = brighter / tf.where(value > 0, value, 1.0)
        return tf.where(value > 0, image * ratio, brighter)


@plugin
class Contrast(Corruption):
    """Less contrast."""

    strengths: ClassVar[Strengths] = {  # share of the contrast that stays
        32: (0.75, 0.5, 0.4, 0.3, 0.15),
        64: (0.4, 0.3, 0.2, 0.1, 0.05),
        224: (0.4, 0.3, 0.2, 0.1, 0.05),
    }

    def corrupted(self, image: Image, strength: float, seed: Seed) -> Any:
        """Move towards each channel's mean; see `Corruption`."""
        mean = tf.reduce_mean(image, (0, 1), keepdims=True)
        return (image - mean) * strength + mean


@plugin
class ElasticTransform(Corruption):
    """Local stretching and squeezing."""

    keeps_geometry: ClassVar[bool] = False
    # In sides: the noise's factor, the σ that smooths it, how far the three points move.
    strengths: ClassVar[Strengths] = {
        32: (
            (0.0, 0.0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        64: (
            (0.0, 0.0, 0.08),
            (0.05, 0.3, 0.06),
            (0.1, 0.08, 0.06),
            (0.1, 0.03, 0.03),
            (0.16, 0.03, 0.02),
        ),
        224: (
            (2 * _244, 0.7 * _244, 0.1 * _244),
            (2 * _244, 0.08 * _244, 0.2 * _244),
            (0.05 * _244, 0.01 * _244, 0.02 * _244),
            (0.07 * _244, 0.01 * _244, 0.02 * _244),
            (0.12 * _244, 0.01 * _244, 0.02 * _244),
        ),
    }

    def corrupted(self, image: Image, strength: tuple[float, float, float], seed: Seed) -> Any:
        """Map, then draw aside; see `Corruption`."""
        factor, sigma, reach = (min(image.shape[:2]) * share for share in strength)
        points = tf.random.stateless_uniform((3, 2), seed, -reach, reach)
        noise = tf.random.stateless_uniform((*image.shape[:2], 2), fold(seed, 1), -1.0, 1.0)
        return drawn_aside(affine(image, points), noise, factor, sigma)


def affine(image: Image, moves: Any) -> Any:
    """Return the image under the affine map that moves three points so.

    Args:
        image: `(height, width, channels)`.
        moves: float32 `(3, 2)`, to the right and down, of the points south-east, north-east and
            north-west of the middle, a third of the shorter side away either way.
    """
    height, width, _ = image.shape
    away = max(min(height, width) // 3, 1)
    corners = np.array([[1, 1], [1, -1], [-1, -1]]) * away
    fixed = np.float32(np.array([width // 2, height // 2]) + corners)
    target = fixed + moves
    # Each target (1, x, y) comes from a fixed (x, y): T M = F, solved by the cofactors of T, for
    # tf.linalg.solve is 30 times as long about three unknowns.
    second, third = tf.roll(target, -1, 0), tf.roll(target, -2, 0)
    cross = second[:, 0] * third[:, 1] - second[:, 1] * third[:, 0]
    edge = second - third
    inverse = tf.stack([cross, edge[:, 1], -edge[:, 0]])
    twice_area = tf.reduce_sum(cross)
    matrix = tf.math.divide_no_nan(inverse @ fixed, twice_area)
    down, right = np.mgrid[:height, :width].astype(np.float32)
    come = matrix[0] + right[..., None] * matrix[1] + down[..., None] * matrix[2]
    return sampled(image, come[..., 1], come[..., 0], "reflect")


def drawn_aside(image: Image, noise: Any, factor: float, sigma: float) -> Any:
    """Return x(u + δu, v + δv), δ = factor G_σ ∗ noise.

    Args:
        image: `(height, width, channels)`.
        noise: float32 `(height, width, 2)` in [−1, 1): to the right and down.
        factor: in pixels.
        sigma: in pixels.
    """
    if not factor:
        return image
    height, width, _ = image.shape
    moves = smoothed(noise, sigma, border="symmetric", truncate=3.0) * factor
    down, right = np.mgrid[:height, :width].astype(np.float32)
    return sampled(image, down + moves[..., 1], right + moves[..., 0], "symmetric")


@plugin
class Pixelate(Corruption):
    """Fewer, larger pixels."""

    strengths: ClassVar[Strengths] = {  # share of the pixels of a side that stay
        32: (0.95, 0.9, 0.85, 0.75, 0.65),
        64: (0.9, 0.8, 0.7, 0.6, 0.5),
        224: (0.6, 0.5, 0.4, 0.3, 0.25),
    }

    def corrupted(self, image: Image, strength: float, seed: Seed) -> Any:
        """Shrink and enlarge; see `Corruption`."""
        rows, columns = (_pixelating(side, strength) for side in image.shape[:2])
        return separable(rows, image, columns)


def _pixelating(length: int, share: float) -> np.ndarray:
    fewer = max(int(length * share), 1)
    return _box(fewer, length) @ _box(length, fewer)


def _box(length: int, target: int) -> np.ndarray:
    """Return the matrix of Pillow's box filter, `(target, length)`: means of whole pixels."""
    scale = length / target
    centre = (np.arange(target) + 0.5) * scale
    offset = np.arange(length) + 0.5 - centre[:, None]
    near = offset / max(scale, 1.0)
    weights = ((near > -0.5) & (near <= 0.5)).astype(np.float64)
    return weights / weights.sum(1, keepdims=True)


@plugin
class JpegCompression(Corruption):
    """JPEG of low quality."""

    strengths: ClassVar[Strengths] = {  # libjpeg's quality
        32: (80, 65, 58, 50, 40),
        64: (65, 58, 50, 40, 25),
        224: (25, 18, 15, 10, 7),
    }

    def corrupted(self, image: Image, strength: int, seed: Seed) -> Any:
        """Code and decode; see `Corruption`."""
        if image.shape[2] in {1, 3}:
            return coded(image, strength)
        planes = tf.split(image, image.shape[2], axis=2)
        return tf.concat([coded(plane, strength) for plane in planes], axis=2)


def coded(image: Image, quality: int) -> Any:
    """Return a grey or colour image after JPEG, its colours at half the resolution."""
    pixels = tf.cast(tf.round(image * 255.0), tf.uint8)
    code = tf.io.encode_jpeg(pixels, quality=quality)
    back = tf.io.decode_jpeg(code, image.shape[2], dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(tf.cast(back, tf.float32) / 255.0, image.shape)
