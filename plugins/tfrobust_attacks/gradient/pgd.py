"""Projected gradient descent: many steps of steepest ascent, each projected back into the ball.

x_{t+1} = clip(x + Π_ε(x_t + α · argmax_{‖d‖ ≤ 1} ⟨∇ L(x_t, y), d⟩ − x), 0, 1), x_0 at random

Madry, Makelov, Schmidt, Tsipras & Vladu, "Towards deep learning models resistant to adversarial
attacks" (2018). Threat: white-box; Linf, L2 or L1.
Departures: those of the shared loop, `tfrobust_attacks.gradient.ascent`. Where all steps together
are too short to cross the ball, the random start lies nearer to the image, so that every corner can
still be reached.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.regions import confined
from tfrobust.engine.starts import starting_points
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.options import derived, option, plugin
from tfrobust.random import fold
from tfrobust.types import Images, Labels
from tfrobust_attacks.gradient.ascent import Ascent, AscentState


@plugin
class ProjectedGradientDescent(Ascent):
    """Iterated steepest ascent inside the ball, from random starts."""

    steps: int = option("gradients per image and restart", default=40, ge=1, trace="input")
    random_start: bool = option(
        "start at a random point of the ball, not at the image", default=True
    )
    restarts: int = option("random starts; each runs on the unbroken images", default=1, ge=1)

    def check(self, classifier: Classifier) -> None:
        """Refuse restarts that would all be the same; see `Attack`."""
        super().check(classifier)
        if self.restarts > 1 and self.eps > 0 and not (self.random_start and self.reach > 0):
            raise UsageError(
                f"pgd: restarts: all {self.restarts} would start at the image itself; expected "
                "random_start, and steps × step_size beyond eps"
            )

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        state = self.begin(images, labels, seed)
        if self.restarts == 1:
            state = self._restart(classifier, state, 0)
        else:
            state = iterate(
                lambda state, number: self._restart(classifier, state, number),
                state,
                steps=self.restarts,
                early_stop=self.early_stop,
            )
        return blend(state.fooled, state.adversarial, state.current)

    def _restart(self, classifier: Classifier, state: AscentState, number: Any) -> AscentState:
        """Climb from a new start."""
        state = self.run(classifier, state._replace(current=self._start(state, number)))
        if self.early_stop and self.restarts == 1:
            return state  # an unbroken image returns its last iterate, whatever its class
        return self.evaluate_loss(classifier, state)

    def _start(self, state: AscentState, number: Any) -> Images:
        points = starting_points()
        if points is None:
            return self._random_start(state, number)
        if self.restarts == 1:
            return points
        return tf.cond(number == 0, lambda: points, lambda: self._random_start(state, number))

    def _random_start(self, state: AscentState, number: Any) -> Images:
        if not self.random_start:
            return state.clean
        shape = tf.shape(state.clean)[1:]
        noise = ball(self.norm).draw(fold(state.seeds, number), shape, self.reach)
        return tf.clip_by_value(state.clean + confined(noise), 0.0, 1.0)

    @derived
    def reach(self) -> float:
        """Return how far from the image a start may be, if the steps are to cross the rest."""
        return min(self.eps, max(0.0, self.steps * self.step_length - self.eps))
