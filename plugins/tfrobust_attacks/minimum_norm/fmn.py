"""Fast minimum norm: gradient steps inside a ball that closes in on the decision boundary.

ε_k: adversarial → min((1 − γ_k) ε_{k−1}, ‖δ*‖); not, but found before → (1 + γ_k) ε_{k−1};
never found → ‖δ_{k−1}‖ + |L| / ‖∇ L‖_q, the distance to the boundary to first order
δ_k = Π(δ_{k−1} + α_k ∇ L / ‖∇ L‖₂) into ball and box,  L = max_{i≠y} z_i − z_y

In L0, ε counts pixels: it starts at 0 and changes by at least one.

Pintor, Roli, Brendel & Biggio, "Fast minimum-norm adversarial attacks through adaptive norm
constraints" (2021). Threat: white-box, minimum Linf, L2, L1 or L0 norm.
Departures: a step is clipped to the box before it is projected, not after, so that no ε is lost on
pixels outside [0, 1]; all projections but L0's shorten every pixel, so that the box still holds. In
L0, Π is the nearest point of ball and box, with all channels of a pixel together. In L1, Π takes
three steps of Newton's method from the last threshold and scales the rest. The image after the last
step is evaluated as well, which costs a forward pass in addition to the `steps` gradients. There
are no adversarial starting points.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, loss_and_slope, own_and_best_other
from tfrobust.engine.rounding import size_of
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits
from tfrobust_attacks.minimum_norm.fmn_balls import BALLS, BallState, slopes_of

_LAST_STEP = 0.01  # α falls to this share of itself along half a cosine
_LAST_GAMMA = 0.001  # γ falls to this, in the same way
_CLEARLY = 2e-5  # how far beyond the boundary the first phase aims, as a share of both logits


@plugin
class FastMinimumNorm(GradientAttack):
    """The smallest perturbation in any norm, by steps in a ball that shrinks and grows."""

    minimum_norm = True

    norm: Literal["linf", "l2", "l1", "l0"] = option("norm to minimise", default="linf")
    eps: float | None = option(
        "evaluation budget, in the unit of the norm; none: unlimited",
        default=None,
        ge=0,
        trace="unused",
    )
    steps: int = option("gradients per image", default=100, ge=1)
    gamma: float = option("γ₀: relative change of ε in the first step", default=0.05, gt=0, lt=1)
    step_size: float = option("α₀: size of the first step, as an L2 norm", default=1.0, gt=0)
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum norm."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        gammas = tf.constant(_annealed(self.gamma, min(self.gamma, _LAST_GAMMA), self.steps))
        sizes = tf.constant(_annealed(self.step_size, _LAST_STEP * self.step_size, self.steps))
        state = iterate(
            lambda state, number: self._step(classifier, state, gammas[number], sizes[number]),
            _start(images, labels),
            steps=self.steps,
            early_stop=False,
        )
        return self._judge(state, classifier(state.current))[0].best

    def _step(self, classifier: Classifier, state: BallState, gamma: Any, size: Any) -> BallState:
        """Evaluate the current image, adapt ε to the verdict, and step inside the new ball."""
        geometry = BALLS[self.norm]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.current)
            logits = classifier(state.current)
        loss, slope = loss_and_slope(logits, state.labels, targeted=self.targeted, loss="margin")
        gradient = pulled_back(tape, logits, state.current, slope)
        state, adversarial = self._judge(state, logits)
        # On the boundary itself no image is clearly adversarial yet, and ε would not change.
        gap = tf.abs(loss) + _CLEARLY * size_of(*own_and_best_other(logits, state.labels))
        slopes = slopes_of(gradient)
        closer, farther = geometry.radii(state, gamma, gap, slopes)
        state = state._replace(radius=tf.where(adversarial, closer, farther))
        return geometry.project(state, state.current + slopes.step(size))

    def _judge(self, state: BallState, logits: Logits) -> tuple[BallState, Flags]:
        """Keep the current image if it is the nearest adversarial one."""
        adversarial = clearly_adversarial(logits, state.labels, targeted=self.targeted)
        better = adversarial & (state.distance < state.best_distance)
        state = state._replace(
            best=blend(better, state.current, state.best),
            best_distance=tf.where(better, state.distance, state.best_distance),
        )
        return state, adversarial


def _annealed(first: float, last: float, steps: int) -> list[float]:
    """Return one number per step, falling along half a cosine."""
    turns = (math.cos(math.pi * number / steps) for number in range(steps))
    return [last + (first - last) * (1.0 + turn) / 2.0 for turn in turns]


def _start(images: Images, labels: Labels) -> BallState:
    zeros = tf.zeros_like(labels, tf.float32)
    return BallState(
        clean=images,
        labels=labels,
        radius=zeros,
        threshold=zeros,
        current=images,
        distance=zeros,
        best=images,
        best_distance=zeros + float("inf"),
        done=tf.zeros_like(labels, tf.bool),
    )
