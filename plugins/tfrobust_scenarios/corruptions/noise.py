"""Gaussian, shot and impulse noise.

x′ = x + σ n, n normal;  x′ = Poisson(c x) / c;  x′ = 0 or 1 with probability a, else x

Hendrycks & Dietterich (2019); impulse noise is scikit-image's salt and pepper, on each channel by
itself. Departures: those of `corruption`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.options import plugin
from tfrobust.random import fold
from tfrobust.types import Image, Seed
from tfrobust_scenarios.corruptions.corruption import Corruption, Strengths


@plugin
class GaussianNoise(Corruption):
    """Normal noise, as in bad light."""

    strengths: ClassVar[Strengths] = {  # standard deviation
        32: (0.04, 0.06, 0.08, 0.09, 0.10),
        64: (0.04, 0.08, 0.12, 0.15, 0.18),
        224: (0.08, 0.12, 0.18, 0.26, 0.38),
    }

    def corrupted(self, image: Image, strength: float, seed: Seed) -> Any:
        """Add the noise; see `Corruption`."""
        return image + strength * tf.random.stateless_normal(image.shape, seed)


@plugin
class ShotNoise(Corruption):
    """Poisson noise: light comes in quanta."""

    strengths: ClassVar[Strengths] = {  # quanta of a white pixel
        32: (500, 250, 100, 75, 50),
        64: (250, 100, 50, 30, 15),
        224: (60, 25, 12, 5, 3),
    }

    def corrupted(self, image: Image, strength: int, seed: Seed) -> Any:
        """Count quanta; see `Corruption`."""
        quanta = tf.random.stateless_poisson(image.shape, seed, image * strength, tf.float32)
        return quanta / strength


@plugin
class ImpulseNoise(Corruption):
    """Salt and pepper: broken bits."""

    strengths: ClassVar[Strengths] = {  # share of the values that are lost
        32: (0.01, 0.02, 0.03, 0.05, 0.07),
        64: (0.01, 0.02, 0.05, 0.08, 0.14),
        224: (0.03, 0.06, 0.09, 0.17, 0.27),
    }

    def corrupted(self, image: Image, strength: float, seed: Seed) -> Any:
        """Lose values; see `Corruption`."""
        lost = tf.random.stateless_uniform(image.shape, seed) < strength
        salt = tf.random.stateless_uniform(image.shape, fold(seed, 1)) < 0.5
        return tf.where(lost, tf.cast(salt, tf.float32), image)
