"""Baselines that ignore the classifier: noise, lower contrast, blur.

x′ = clip(x + ε n / ‖n‖, 0, 1), n normal;  clip(x + u, 0, 1), u uniform in [−ε, ε);
x′ = x + f (½ − x);  x′ = G_σ ∗ x

An attack that is not much stronger than these shows nothing; a classifier that they break is not
robust to anything. Threat: none: the classifier is never queried. Departures: none; there is no
paper.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust import random
from tfrobust.attack import Attack, Strength, Threat
from tfrobust.classifier import Classifier
from tfrobust.norms import TINY, Linf, ball
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds
from tfrobust.types import Images, Labels

_REACH = 4.0  # radius of the kernel, in standard deviations


@plugin
class GaussianNoise(Attack):
    """Normal noise of the size of the budget, before clipping."""

    eps: float = option(
        "size of the noise, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm of the noise", default="linf")

    @property
    def threat(self) -> Threat:
        """Blind, within the ball."""
        return Threat("none", self.norm)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return noisy images; see `Attack`."""
        geometry = ball(self.norm)
        noise = random.normal(image_seeds(seed, tf.shape(images)[0]), tf.shape(images)[1:])
        length = geometry.distance(noise, tf.zeros_like(noise))[:, None, None, None]
        noise *= self.eps / tf.maximum(length, TINY)
        # Clip first: the projection must not redistribute the noise.
        clipped = tf.clip_by_value(images + noise, 0.0, 1.0)
        return geometry.project(clipped, geometry.region(images, self.eps))


@plugin
class UniformNoise(Attack):
    """Uniform noise in the whole Linf ball."""

    eps: float = option(
        "radius of the Linf ball, in pixel values", default=0.1, ge=0, trace="input"
    )

    @property
    def threat(self) -> Threat:
        """Blind, within the Linf ball."""
        return Threat("none", "linf")

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return noisy images; see `Attack`."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        noise = Linf().draw(seeds, tf.shape(images)[1:], self.eps)
        return Linf().project(images + noise, Linf().region(images, self.eps))


@plugin
class Contrast(Attack):
    """Moves every pixel towards mid-grey."""

    factor: float = option(
        "share of the distance to mid-grey", default=0.5, ge=0, le=1, trace="input"
    )

    @property
    def threat(self) -> Threat:
        """Blind, bounded in no norm."""
        return Threat("none", None)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return paler images; see `Attack`."""
        return images + self.factor * (0.5 - images)


@plugin
class GaussianBlur(Attack):
    """A Gaussian filter; the image is mirrored at its borders, edge pixels included."""

    strength = Strength("sigma", "σ =", "standard deviation σ of the kernel, in pixels")

    sigma: float = option("standard deviation of the kernel, in pixels", default=1.0, ge=0)

    @property
    def threat(self) -> Threat:
        """Blind, bounded in no norm."""
        return Threat("none", None)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return blurred images; see `Attack`."""
        height, width, _ = classifier.image_shape
        # Matrices allow a kernel that is wider than the image and mirrors it several times.
        rows, columns = _blurring(height, self.sigma), _blurring(width, self.sigma)
        blurred = tf.einsum("ih,bhwc,jw->bijc", rows, images, columns)
        return tf.clip_by_value(blurred, 0.0, 1.0)


def _blurring(length: int, sigma: float) -> Any:
    """Return the matrix that blurs a line of pixels, float32 `(length, length)`."""
    reach = int(np.ceil(_REACH * sigma))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * np.square(offsets / sigma)) if reach else np.ones(1)
    mirrored = np.pad(np.eye(length), ((reach, reach), (0, 0)), "symmetric")
    seen = np.lib.stride_tricks.sliding_window_view(mirrored, 2 * reach + 1, axis=0)
    return tf.constant(seen @ (kernel / kernel.sum()), tf.float32)
