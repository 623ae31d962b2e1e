"""The geometry of the balls: measuring, projecting, steepest ascent and drawing, a norm at a time.

Perturbations are float32 `(batch, height, width, channels)`; `eps` is a radius in the norm's own
unit (pixel values run from 0 to 1).
"""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from tfrobust import random
from tfrobust.errors import UsageError
from tfrobust.types import Images, PerImage, Seeds

_PIXELS = (1, 2, 3)
_RADIUS = 7919  # folded into seeds for the radius of a draw, far from any count of restarts
_TINY = 1e-30  # below the square of any representable pixel difference that matters


Region = tuple[Any, ...]  # tensors of one row an image; what they mean is the ball's own affair


class Ball(Protocol):
    """What an attack needs to know of a norm."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return ‖images − others‖ for each image."""

    def region(self, clean: Images, eps: float) -> Region:
        """Return what `project` needs to know of the ball round each image, cut at [0, 1]."""

    def project(self, images: Images, region: Region) -> Images:
        """Return images inside the ball and inside [0, 1], near the given ones."""

    def steepest(self, gradient: Images) -> Images:
        """Return argmax ⟨gradient, d⟩ over ‖d‖ ≤ 1; zero where the gradient is zero."""

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Return perturbations drawn uniformly from the ball."""


class Linf:
    """max |x|: every pixel may change by `eps`."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the largest pixel difference."""
        return tf.reduce_max(tf.abs(images - others), _PIXELS)

    def region(self, clean: Images, eps: float) -> Region:
        """Return the lowest and highest value of every pixel: ball and [0, 1] are both boxes."""
        return tf.maximum(clean - eps, 0.0), tf.minimum(clean + eps, 1.0)

    def project(self, images: Images, region: Region) -> Images:
        """Clip every pixel."""
        return tf.clip_by_value(images, *region)

    def steepest(self, gradient: Images) -> Images:
        """Return the sign of the gradient."""
        return tf.sign(gradient)

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Draw every pixel uniformly from [−eps, eps)."""
        return random.uniform(seeds, shape, -1.0, 1.0) * eps


class L2:
    """√Σx²: the Euclidean length of the perturbation."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the Euclidean distance."""
        return tf.squeeze(_length(images - others), _PIXELS)

    def region(self, clean: Images, eps: float) -> Region:
        """Return the centre and the radius."""
        return clean, tf.fill([tf.shape(clean)[0], 1, 1, 1], eps)

    def project(self, images: Images, region: Region) -> Images:
        """Shorten what is too long, then clip; clipping only brings it nearer to the centre."""
        centre, radius = region
        change = images - centre
        shorter = change * tf.minimum(1.0, radius / tf.maximum(_length(change), _TINY))
        return tf.clip_by_value(centre + shorter, 0.0, 1.0)

    def steepest(self, gradient: Images) -> Images:
        """Return the gradient at unit length.

        A saturated network's gradient can be so small that its square underflows, so it is
        scaled by its largest entry first.
        """
        scaled = tf.math.divide_no_nan(
            gradient, tf.reduce_max(tf.abs(gradient), _PIXELS, keepdims=True)
        )
        return tf.math.divide_no_nan(scaled, _length(scaled))

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Draw a normal direction and a radius whose d-th power is uniform."""
        direction = random.normal(seeds, shape)
        radius = random.uniform(random.fold(seeds, _RADIUS), (1, 1, 1))
        dimensions = tf.cast(tf.reduce_prod(shape), tf.float32)
        return eps * radius ** (1.0 / dimensions) * self.steepest(direction)


def _length(perturbation: Images) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(perturbation), _PIXELS, keepdims=True))


_BALLS: dict[str, Ball] = {"linf": Linf(), "l2": L2()}


def ball(norm: str) -> Ball:
    """Return the geometry of `norm`.

    Raises:
        UsageError: this norm has none here.
    """
    if norm not in _BALLS:
        raise UsageError(f"norm: expected one of {', '.join(_BALLS)}; received: {norm!r}")
    return _BALLS[norm]
