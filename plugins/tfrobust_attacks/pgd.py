"""Projected gradient descent: many steps of steepest ascent, each projected back into the ball.

x_{t+1} = clip(x + Π_ε(x_t + α · argmax_{‖d‖ ≤ 1} ⟨∇ L(x_t, y), d⟩ − x), 0, 1)

Madry, Makelov, Schmidt, Tsipras & Vladu, "Towards deep learning models resistant to adversarial
attacks" (2018). Threat: white-box; Linf, L2 or L1.
Departures: for cross-entropy stand the log odds, whose gradient points the same way but does not
vanish (`tfrobust.losses.log_odds`); there are other losses. In L1 a step goes towards the corner
of the region that the gradient points at (Frank & Wolfe), for steepest ascent in L1 would push one
pixel against its wall. Where the steps together are too short to cross the ball, the random start
lies so much nearer to the image that every corner can still be reached. With `early_stop` an
image is left alone once it is adversarial; without, its last adversarial iterate is returned, even
if that is not the last of all. Either way an image is broken if any of its iterates is.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.loop import blend, iterate
from tfrobust.losses import LossName, ascend, is_adversarial
from tfrobust.norms import Region, ball
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds
from tfrobust.types import Flags, Images, Labels, Seeds


class _State(NamedTuple):
    clean: Images
    region: Region
    labels: Labels
    seeds: Seeds
    current: Images
    found: Images  # the last adversarial iterate
    fooled: Flags  # whether there is one
    done: Flags


@plugin
class ProjectedGradientDescent(Attack):
    """Iterated steepest ascent inside the ball, from random starts."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2", "l1"] = option("of the ball", default="linf")
    steps: int = option("gradients an image and restart", default=40, ge=1)
    step_size: float | None = option(
        "length of a step, in the unit of the norm; none: see `default_step`", default=None, gt=0
    )
    random_start: bool = option("start anywhere in the ball; otherwise at the image", default=True)
    restarts: int = option("how often to start anew on what still stands", default=1, ge=1)
    loss: LossName = option("to raise: ce, margin (C&W) or dlr", default="ce")
    targeted: bool = option("reach a class instead of leaving one", default=False)
    samples: int = option("gradients averaged, if the classifier is stochastic", default=20, ge=1)
    early_stop: bool = option("leave an image alone once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        state = _State(
            clean=images,
            region=ball(self.norm).region(images, self.eps),
            labels=labels,
            seeds=image_seeds(seed, tf.shape(images)[0]),
            current=images,
            found=images,
            fooled=tf.zeros_like(labels, tf.bool),
            done=tf.zeros_like(labels, tf.bool),
        )
        if self.restarts == 1:
            state = self._restart(classifier, state, 0)
        else:
            state = iterate(
                lambda state, number: self._restart(classifier, state, number),
                state,
                steps=self.restarts,
                early_stop=self.early_stop,
            )
        return blend(state.fooled, state.found, state.current)

    def _restart(self, classifier: Classifier, state: _State, number: Any) -> _State:
        """Climb from a new start."""
        state = iterate(
            lambda state, _: self._step(classifier, state),
            state._replace(current=self._start(state, number)),
            steps=self.steps,
            early_stop=self.early_stop,
            outcome=("found", "fooled"),
        )
        if self.early_stop and self.restarts == 1:
            return state  # what still stands returns its last iterate, right or wrong
        verdict = is_adversarial(classifier(state.current), state.labels, targeted=self.targeted)
        return self._remember(state, verdict)

    def _start(self, state: _State, number: Any) -> Images:
        if not self.random_start:
            return state.clean
        shape = tf.shape(state.clean)[1:]
        reach = self.steps * self._step_size() - self.eps
        radius = min(self.eps, max(0.0, reach))
        noise = ball(self.norm).draw(fold(state.seeds, number), shape, radius)
        return tf.clip_by_value(state.clean + noise, 0.0, 1.0)

    def _step(self, classifier: Classifier, state: _State) -> _State:
        """Judge the current iterate and take the next step from it."""
        gradient, fooled = ascend(
            classifier, state.current, state.labels, targeted=self.targeted, loss=self.loss
        )
        state = self._remember(state, fooled)
        moved = ball(self.norm).climb(state.current, gradient, self._step_size(), state.region)
        return state._replace(current=moved)

    def _step_size(self) -> float:
        return self.step_size or default_step(self.eps, self.norm, self.steps)

    def _remember(self, state: _State, fooled: Flags) -> _State:
        if self.early_stop:
            fooled &= ~state.done  # the iterates of these are undefined
        return state._replace(
            found=blend(fooled, state.current, state.found),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )


def default_step(eps: float, norm: str, steps: int) -> float:
    """Return max(2.5 / steps, c) · eps, where c is a tenth in Linf and a fifth in L2 and L1.

    Madry's 2.5 · eps / steps crosses the ball just once. That is too slow where a step also has
    to turn: with 100 steps in L2 it leaves several images standing that 40 longer ones break.
    """
    return max(2.5 / steps, 0.1 if norm == "linf" else 0.2) * eps
