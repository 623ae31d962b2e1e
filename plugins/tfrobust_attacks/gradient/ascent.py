"""Steepest ascent inside a ball: the loop that `bim`, `mim` and `pgd` share.

x_{t+1} = clip(x + Π_ε(x_t + α · argmax_{‖d‖ ≤ 1} ⟨g_t, d⟩ − x), 0, 1), where g_t is the gradient
of the loss, or what a subclass makes of it.

Departures of all three: the log odds replace cross-entropy; their gradient points the same way but
does not vanish (`tfrobust.engine.losses.log_odds`); there are other losses. In L1 a step goes
towards the corner of the region that the gradient points at (Frank & Wolfe), for steepest ascent in
L1 would push one pixel against its wall. With `early_stop` an image is left alone once it is
adversarial; without, its last adversarial iterate is returned, even if that is not the last of all.
Either way an image is broken if any of its iterates is.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import loss_gradient
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import LossName, is_adversarial
from tfrobust.engine.starts import starting_points
from tfrobust.norms import Region, ball
from tfrobust.options import derived, option, plugin
from tfrobust.random import image_seeds
from tfrobust.types import Flags, Images, Labels, Seeds

CONTINUED = 5  # an attack that goes on from a smaller budget takes a fifth of its steps


class AscentState(NamedTuple):
    """One row an image."""

    clean: Images
    region: Region
    labels: Labels
    seeds: Seeds
    current: Images
    memory: Any  # of earlier gradients; () where there is none
    adversarial: Images  # the last adversarial iterate
    fooled: Flags  # whether there is one
    done: Flags


@plugin
class Ascent(GradientAttack):
    """Steps that raise the loss, from the image on, each projected back into the ball."""

    takes_starts: ClassVar[bool] = True

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm of the ball", default="linf")
    steps: int = option("gradients per image", default=10, ge=1, trace="input")
    step_size: float | None = option(
        "α: step size, in the unit of the norm; none: max(2.5 / steps, 0.1) · eps, in L2 and "
        "L1 at least 0.2 · eps",
        default=None,
        gt=0,
        trace="input",
    )
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="ce")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)
    early_stop: bool = option("stop on an image once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def continued(self) -> Ascent:
        """Return the attack with a fifth of its steps, each as long as before; see `Attack`."""
        steps = -(-self.steps // CONTINUED)
        return dataclasses.replace(self, steps=steps, step_size=self.step_length or None)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        state = self.run(classifier, self.begin(images, labels, seed))
        if not self.early_stop:
            state = self.evaluate_loss(classifier, state)
        return blend(state.fooled, state.adversarial, state.current)

    def begin(self, images: Images, labels: Labels, seed: Any) -> AscentState:
        """Return the state of images that no step has moved yet."""
        points = starting_points()
        return AscentState(
            clean=images,
            region=ball(self.norm).region(images, self.eps),
            labels=labels,
            seeds=image_seeds(seed, tf.shape(images)[0]),
            current=images if points is None else points,
            memory=self.memory(images),
            adversarial=images,
            fooled=tf.zeros_like(labels, tf.bool),
            done=tf.zeros_like(labels, tf.bool),
        )

    def run(self, classifier: Classifier, state: AscentState) -> AscentState:
        """Take all steps from the current points; the last point is not judged."""
        return iterate(
            lambda state, _: self._step(classifier, state),
            state,
            steps=self.steps,
            early_stop=self.early_stop,
            outcome=("adversarial", "fooled"),
        )

    def evaluate_loss(self, classifier: Classifier, state: AscentState) -> AscentState:
        """Remember the current points where they are adversarial."""
        verdict = is_adversarial(classifier(state.current), state.labels, targeted=self.targeted)
        return self._remember(state, verdict)

    def memory(self, images: Images) -> Any:
        """Return what is known of earlier gradients before there are any."""
        return ()

    def direction(self, gradient: Images, memory: Any) -> tuple[Images, Any]:
        """Return where to go, and the new memory."""
        return gradient, memory

    @derived
    def step_length(self) -> float:
        """Return the length of a step: the option, or max(2.5 / steps, c) · eps.

        c is a tenth in Linf and a fifth in L2 and L1. Madry's 2.5 · eps / steps crosses the ball
        just once. That is too slow where a step also has to turn: with 100 steps in L2 it misses
        several images that 40 longer ones break.
        """
        shortest = 0.1 if self.norm == "linf" else 0.2
        return self.step_size or max(2.5 / self.steps, shortest) * self.eps

    def _step(self, classifier: Classifier, state: AscentState) -> AscentState:
        """Judge the current iterate and take the next step from it."""
        gradient, fooled = loss_gradient(
            classifier, state.current, state.labels, targeted=self.targeted, loss=self.loss
        )
        state = self._remember(state, fooled)
        direction, memory = self.direction(gradient, state.memory)
        moved = ball(self.norm).step(state.current, direction, self.step_length, state.region)
        return state._replace(current=moved, memory=memory)

    def _remember(self, state: AscentState, fooled: Flags) -> AscentState:
        if self.early_stop:
            fooled &= ~state.done  # the iterates of these are undefined
        return state._replace(
            adversarial=blend(fooled, state.current, state.adversarial),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )
