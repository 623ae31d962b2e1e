"""Box blur: a Gaussian filter inside the object's box, the context unchanged; or the reverse.

x′ = (G_σ ∗ (m x)) / (G_σ ∗ m) where m = 1, and x elsewhere; m is 1 inside the image's boxes

Akumalla, Haney & Bazhenov, "Contextual fusion for adversarial robustness" (2020), who convolve the
part of the image that lies in the box. Threat: none: the classifier is never queried.
Departures: the paper does not define the filter beyond the border of the box. Here it is a weighted
mean of the region's own pixels only, so that neither the object leaks out nor the context leaks in.
The kernel is not truncated. The boxes of an image are one region, so objects near each other mix.
`region=all` blurs the whole image, with the same rule at its border (`gaussian_blur` mirrors the
image there). The paper's images are 224 pixels wide: `side=224` gives σ in those pixels, and
smaller images are blurred in proportion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import RegionalAttack, Strength, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.regions import free_pixels
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, RegionName


@plugin
class BoxBlur(RegionalAttack):
    """A Gaussian filter inside the image's boxes, or outside of them."""

    strength = Strength("sigma", "σ =", "standard deviation σ of the kernel, in pixels")

    region: RegionName = option(
        "pixels to blur: all, inside the image's boxes, or outside",
        default="foreground",
        trace="unused",
    )
    sigma: float = option("σ: standard deviation of the kernel, in pixels", default=5.0, ge=0)
    side: int | None = option(
        "σ is for images of this side, in pixels, and scales with the image's shorter side; none: "
        "σ is in the image's own pixels",
        default=None,
        ge=1,
    )

    @property
    def threat(self) -> Threat:
        """Blind, bounded in no norm."""
        return Threat("none", None)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return blurred images; see `Attack`.

        Example:
            `sigma=10, side=224` blurs images of 64×64 with a kernel of 10 · 64 / 224 = 2.9 pixels.
        """
        if self.sigma == 0:
            return images
        free = free_pixels()
        part = tf.ones_like(images[..., :1]) if free is None else tf.cast(free, tf.float32)
        height, width, channels = classifier.image_shape
        sigma = self.sigma * (min(height, width) / self.side if self.side else 1)
        # The mask is convolved as one more channel.
        sums = _convolved(
            tf.concat([part * images, part], axis=3),
            gaussian(height, sigma),
            gaussian(width, sigma),
        )
        mean = tf.math.divide_no_nan(sums[..., :channels], sums[..., channels:])
        return tf.where(part > 0, tf.clip_by_value(mean, 0.0, 1.0), images)


def gaussian(length: int, sigma: float) -> np.ndarray:
    """Return exp(−(i − j)² / 2σ²), float32 `(length, length)`: a filter that is not truncated."""
    positions = np.arange(length)
    with np.errstate(over="ignore"):  # overflows for a σ near zero, where no pixels mix
        squares = np.square((positions[:, None] - positions) / sigma)
    return np.exp(-0.5 * squares).astype(np.float32)


def _convolved(images: Images, down: np.ndarray, across: np.ndarray) -> Images:
    """Return the sums over both axes; channels first, since plain matmuls are 4× einsum's speed."""
    planes = tf.transpose(images, (0, 3, 1, 2))
    return tf.transpose(tf.matmul(tf.matmul(down, planes), across), (0, 2, 3, 1))
