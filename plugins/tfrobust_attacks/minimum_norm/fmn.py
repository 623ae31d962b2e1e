"""Fast minimum norm: gradient steps inside a ball that closes in on the decision boundary.

ε_k: adversarial → min((1 − γ_k) ε_{k−1}, ‖δ*‖); not, but found before → (1 + γ_k) ε_{k−1};
never found → ‖δ_{k−1}‖ + |L| / ‖∇ L‖_q, the distance to the boundary to first order
δ_k = Π(δ_{k−1} + α_k ∇ L / ‖∇ L‖₂) into ball and box,  L = max_{i≠y} z_i − z_y

In L0, ε counts pixels: it starts at 0 and changes by at least one.

Pintor, Roli, Brendel & Biggio, "Fast minimum-norm adversarial attacks through adaptive norm
constraints" (2021). Threat: white-box, minimum Linf, L2, L1 or L0 norm.
Departures: the paper's single run ends at the boundary that L leads to, which need not be the
nearest one. Here three fifths of the steps are short runs from the clean image towards each of the
`target_classes` most likely other classes, L = z_k − z_y, within the distance found so far; the
rest is a run from the best image, with α in units of its perturbation. The paper's run is left with
`target_classes=0`, for targets, in L0 and with fewer than nine steps. A step is clipped to the box
before it is projected, not after, so that no ε is lost on pixels outside [0, 1]; all projections
but L0's shorten every pixel, so that the box still holds. In L0, Π is the nearest point of ball and
box, with all channels of a pixel together. In L1, Π takes three steps of Newton's method from the
last threshold and scales the rest. The image after the last step is evaluated as well, which costs
a forward pass in addition to the `steps` gradients, and so does the choice of the classes. There
are no adversarial starting points.
"""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import iterate
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, Logits, PerImage
from tfrobust_attacks.minimum_norm.fmn_balls import BallState
from tfrobust_attacks.minimum_norm.fmn_schedule import ANY, Schedule, classes_tried, schedule
from tfrobust_attacks.minimum_norm.fmn_steps import (
    Loss,
    ball_step,
    from_best,
    from_clean,
    judged,
    margin_of,
    start,
)
from tfrobust_attacks.shared.rivals import likely_rivals, slopes_towards


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
    target_classes: int = option(
        "likely classes to try one by one first; 0: none, as in the paper", default=5, ge=0
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum norm."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        wanted = 0 if self.targeted or self.norm == "l0" else self.target_classes
        count = classes_tried(min(wanted, classifier.num_classes - 1), self.steps)
        rivals = likely_rivals(classifier(images), labels, count) if count else None
        numbers = schedule(self.steps, self.gamma, self.step_size, count)
        state = iterate(
            lambda state, number: self._step(classifier, state, rivals, numbers.at(number)),
            start(images, labels),
            steps=self.steps,
            early_stop=False,
        )
        return judged(state, classifier(state.current), targeted=self.targeted)[0].best

    def _step(
        self, classifier: Classifier, state: BallState, rivals: Labels | None, now: Schedule
    ) -> BallState:
        """Start a run where one starts; take a step."""
        loss_of = margin_of(targeted=self.targeted)
        if rivals is not None:
            state = tf.cond(now.clean, lambda: from_clean(state), lambda: state)
            state = tf.cond(now.best, lambda: from_best(state), lambda: state)
            loss_of = _towards(rivals, now.rival)
        return ball_step(
            classifier,
            state,
            norm=self.norm,
            gamma=now.gamma,
            size=now.size,
            loss_of=loss_of,
            targeted=self.targeted,
        )


def _towards(rivals: Labels, number: Any) -> Loss:
    """Return the lead of the likely class of this number; of any class for `ANY`."""

    def loss_of(logits: Logits, labels: Labels) -> tuple[PerImage, Logits]:
        def lead() -> tuple[PerImage, Logits]:
            chosen = tf.gather(rivals, [number], axis=1)
            slope = slopes_towards(chosen, labels, logits.shape[1])[0]
            return tf.reduce_sum(slope * logits, axis=1), slope

        margin = margin_of(targeted=False)
        return tf.cond(tf.equal(number, ANY), lambda: margin(logits, labels), lead)

    return loss_of
