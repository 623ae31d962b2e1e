"""Snow, frost and fog.

Snow: flakes, blurred along their fall, on a whitened image, and once more turned upside down.
Frost: x′ = a x + b f, f a frosted pane. Fog: x′ = (x + c p) max x / (max x + c), p plasma.

Hendrycks & Dietterich (2019). Departures: those of `corruption`, and

- Frost: the authors cut f from five photographs, which are not ours to ship. `ice` draws one with
  the photographs' colours and contrast instead. Errors under it do not compare with published ones
  of frost, nor quite does their mean over all fifteen.
- Fog: the map's side is the least power of two that covers the image (the authors': 32, 64, 256).
- Snow: a grey image is its own luminance; with neither one nor three channels their mean is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.options import plugin
from tfrobust.random import fold
from tfrobust.types import Image, Seed
from tfrobust_scenarios.corruptions.blur import moved, zooming
from tfrobust_scenarios.corruptions.corruption import Corruption, Strengths, published_size
from tfrobust_scenarios.corruptions.filters import separable
from tfrobust_scenarios.corruptions.ice import frosted_pane
from tfrobust_scenarios.corruptions.plasma import plasma, plasma_draws

_LUMINANCE = 0.299, 0.587, 0.114


@plugin
class Fog(Corruption):
    """Fog of varying density."""

    strengths: ClassVar[Strengths] = {  # how much fog, decay of its plasma
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    }

    def corrupted(self, image: Image, strength: tuple[float, float], seed: Seed) -> Any:
        """Put fog before it; see `Corruption`."""
        amount, decay = strength
        height, width, _ = image.shape
        heights = plasma(plasma_draws(seed, image.shape), decay)[:height, :width, None]
        brightest = tf.reduce_max(image)
        return (image + amount * heights) * brightest / (brightest + amount)


@plugin
class Frost(Corruption):
    """Looking through a frosted pane."""

    strengths: ClassVar[Strengths] = {  # share of the image, share of the pane
        32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        64: ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
        224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    }

    def corrupted(self, image: Image, strength: tuple[float, float], seed: Seed) -> Any:
        """Put the pane before it; see `Corruption`."""
        pane = frosted_pane(image.shape, published_size(image.shape), seed)
        if image.shape[2] != 3:
            pane = tf.reduce_mean(pane, 2, keepdims=True)
        return strength[0] * image + strength[1] * pane


@plugin
class Snow(Corruption):
    """Falling snow, at an angle."""

    # Mean and deviation of the noise, zoom, threshold, radius and σ of the fall, share of the
    # image that is not whitened.
    strengths: ClassVar[Strengths] = {
        32: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        64: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        224: (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    }

    def corrupted(self, image: Image, strength: tuple[float, ...], seed: Seed) -> Any:
        """Let it snow; see `Corruption`."""
        mean, deviation, *flaky, clear = strength
        noise = mean + deviation * tf.random.stateless_normal((*image.shape[:2], 1), seed)
        angle = tf.random.stateless_uniform((), fold(seed, 1), -135.0, -45.0)
        flakes = falling(noise, angle, tuple(flaky))
        return whitened(image, clear) + flakes + flakes[::-1, ::-1]


def falling(noise: Any, angle: Any, flaky: tuple[float, ...]) -> Any:
    """Return flakes: noise, enlarged, cut below the threshold and blurred along the fall.

    Args:
        noise: `(height, width, 1)`.
        angle: in degrees; see `moved`.
        flaky: zoom (how large flakes are), threshold (how rare), radius and σ of the blur.
    """
    zoom, threshold, radius, sigma = flaky
    rows, columns = (zooming(side, zoom) for side in noise.shape[:2])
    layer = separable(rows, noise, columns)
    layer = tf.where(layer < threshold, 0.0, tf.minimum(layer, 1.0))
    return moved(layer, angle, int(radius), sigma)


def whitened(image: Image, clear: float) -> Any:
    """Return a x + (1 − a) max(x, 1.5 luminance + ½), a = `clear`."""
    if image.shape[2] == 3:
        luminance = tf.reduce_sum(image * _LUMINANCE, 2, keepdims=True)
    else:
        luminance = tf.reduce_mean(image, 2, keepdims=True)
    return clear * image + (1 - clear) * tf.maximum(image, luminance * 1.5 + 0.5)
