"""Ascent on the divergence between a network's predictions for an image and its neighbours.

max KL(f(x) ‖ f(x′)) over ‖x′ − x‖ ≤ ε, without labels.

x′₀ = x + 0.001 · n, n standard normal;  x′_{t+1} = Π_ε(x′_t + α · argmax_{‖d‖ ≤ 1} ⟨g_t, d⟩)

The inner maximisation of Zhang et al. (2019). At x itself the divergence is minimal and
the gradient vanishes, so the ascent starts next to it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import iterate
from tfrobust.norms import Region, ball
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, normal
from tfrobust.types import Images, Labels, Logits, Seed
from tfrobust_adversarial_training.divergence import divergence_slope

_NOISE = 1e-3  # standard deviation of the start, in pixel values; the authors'


class _State(NamedTuple):
    """One row an image."""

    current: Images
    region: Region
    reference: Logits  # of the clean image


@plugin
class DivergenceAscent(Attack):
    """Projected steepest ascent on KL(f(x) ‖ f(x′))."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    steps: int = option("gradients per image", default=10, ge=1)
    step_size: float | None = option(
        "α: step size, in the unit of the norm; none: max(2.5 / steps, 0.1) · eps",
        default=None,
        gt=0,
    )

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Images:
        """Return the images where the ascent ends; see `Attack`."""
        geometry = ball(self.norm)
        length = self.step_size or max(2.5 / self.steps, 0.1) * self.eps

        def step(state: _State, _: Any) -> _State:
            gradient = _gradient(classifier, state)
            moved = geometry.step(state.current, gradient, length, state.region)
            return state._replace(current=moved)

        return iterate(
            step, self._begin(classifier, images, seed), steps=self.steps, early_stop=False
        ).current

    def _begin(self, classifier: Classifier, images: Images, seed: Seed) -> _State:
        seeds = image_seeds(seed, tf.shape(images)[0])
        region = ball(self.norm).region(images, self.eps)
        noise = _NOISE * normal(seeds, tf.shape(images)[1:])
        start = ball(self.norm).project(images + noise, region)
        return _State(start, region, classifier(images))


def _gradient(classifier: Classifier, state: _State) -> Images:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(state.current)
        logits = classifier(state.current)
    return pulled_back(tape, logits, state.current, divergence_slope(state.reference, logits))
