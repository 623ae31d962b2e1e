"""A classifier whose gradient is estimated from differences of its answers.

∇f(x) ≈ mean_j δ_j (f(x + δ_j) − f(x − δ_j)) / 2σ²,  δ_j ~ N(0, σ²I)

It is the gradient of f averaged over the noise, E f(x + δ), jumps of f included: a gradient that is
computed by backpropagation, and averaged over the same noise, does not see them. Tramèr, Carlini,
Brendel & Madry, "On adaptive attacks to adversarial example defenses" (2020), section 5; there
σ = 8/255, and up to 20,000 samples a step. Departures: the noise is of several σ, each of which
gives as many of the estimates; an image's noise is drawn from its own pixels, so that the same
image has the same gradient in every batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.random import normal
from tfrobust.types import Images, Logits, Seeds

SIGMAS = (8 / 255, 0.1)  # the paper's, and a wide one, which jumps far apart need
PAIRS = 25


class Estimated(Wrapped):
    """The answers of a classifier, with a gradient estimated from differences.

    Args:
        inner: any classifier; its own gradient is not used.
        sigmas: standard deviations of the noise, in pixel values.
        pairs: samples of each, two calls apiece.
    """

    def __init__(
        self, inner: Classifier, sigmas: Sequence[float] = SIGMAS, pairs: int = PAIRS
    ) -> None:
        super().__init__(inner, differentiable=True)
        self.pairs = pairs
        self.deviations = np.repeat(np.asarray(sigmas, np.float32), pairs)

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits; the gradient of each by the images is estimated."""
        still = tf.stop_gradient(images)
        linear = self._linear(images, still)
        return tf.stop_gradient(self.inner(still) - linear) + linear

    def _linear(self, images: Images, still: Images) -> Logits:
        """Return what is linear in the images, and has the estimated gradient."""
        count = len(self.deviations)
        directions = normal(_content(still), (count, *self.image_shape))

        def along(pair: Any) -> Any:
            direction, sigma = directions[:, pair], tf.gather(self.deviations, pair)
            probes = tf.concat([still + sigma * direction, still - sigma * direction], axis=0)
            above, below = tf.split(tf.stop_gradient(self.inner(probes)), 2)
            reach = tf.reduce_sum(direction * images, axis=(1, 2, 3)) / (2.0 * sigma)
            return (above - below) * reach[:, None]

        each = tf.map_fn(
            along, tf.range(count), fn_output_signature=tf.float32, parallel_iterations=1
        )
        return tf.reduce_mean(each, axis=0)


def estimating_attacks(seen: str) -> tuple[AdaptiveAttack, ...]:
    """Return the attacks of somebody who follows an `Estimated` surrogate, or no gradient at all.

    Args:
        seen: what the differences see that gradients do not, as a clause.
    """
    source = "Tramèr et al. 2020"
    why = f"follows gradients estimated from differences, {seen}"
    return (
        AdaptiveAttack("pgd", {"steps": 100, "loss": "margin"}, why, source, ("l2",)),
        AdaptiveAttack("square", {}, "needs no gradient", source, ("l2",)),
    )


def _content(images: Images) -> Seeds:
    """Return one seed an image, int32 `(batch, 2)`, that depends on its pixels alone."""
    pixels = math.prod(images.shape[1:])
    odd = np.random.default_rng(0).integers(0, 2**31, (1, pixels)) | 1
    bits = tf.bitcast(tf.reshape(images, (-1, pixels)), tf.int32)
    content = tf.reduce_sum(bits * tf.constant(odd, tf.int32), axis=1)  # it overflows, and may
    return tf.stack([content, tf.zeros_like(content)], axis=1)
