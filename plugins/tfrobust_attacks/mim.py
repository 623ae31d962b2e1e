"""The momentum iterative method: steps along a running sum of gradients.

g_{t+1} = μ g_t + ∇ L(x_t, y) / ‖∇ L(x_t, y)‖_1
x_{t+1} = Π(x_t + α · argmax_{‖d‖ ≤ 1} ⟨g_{t+1}, d⟩)

Dong et al., "Boosting adversarial attacks with momentum" (2018).
Threat: white-box; Linf, L2 or L1.
Departures: those of `pgd`: the log odds for cross-entropy, other losses, the last adversarial
iterate counts; L1 besides Linf and L2.
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
from tfrobust.types import Flags, Images, Labels
from tfrobust_attacks.pgd import default_step

_TINY = 1e-30


class _State(NamedTuple):
    region: Region
    labels: Labels
    current: Images
    momentum: Images
    found: Images  # the last adversarial iterate
    fooled: Flags  # whether there is one
    done: Flags


@plugin
class MomentumIterative(Attack):
    """Iterated ascent along accumulated gradients; its images transfer well."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2", "l1"] = option("of the ball", default="linf")
    steps: int = option("gradients an image", default=10, ge=1)
    step_size: float | None = option(
        "α: length of a step, in the unit of the norm; none: as in `pgd`", default=None, gt=0
    )
    decay: float = option("μ: share of the old gradients that stays", default=1.0, ge=0)
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
            region=ball(self.norm).region(images, self.eps),
            labels=labels,
            current=images,
            momentum=tf.zeros_like(images),
            found=images,
            fooled=tf.zeros_like(labels, tf.bool),
            done=tf.zeros_like(labels, tf.bool),
        )
        state = iterate(
            lambda state, _: self._step(classifier, state),
            state,
            steps=self.steps,
            early_stop=self.early_stop,
            outcome=("found", "fooled"),
        )
        verdict = is_adversarial(classifier(state.current), state.labels, targeted=self.targeted)
        state = self._remember(state, verdict)
        return blend(state.fooled, state.found, state.current)

    def _step(self, classifier: Classifier, state: _State) -> _State:
        """Judge the current iterate, add its gradient to the momentum and follow that."""
        gradient, fooled = ascend(
            classifier, state.current, state.labels, targeted=self.targeted, loss=self.loss
        )
        state = self._remember(state, fooled)
        length = tf.reduce_sum(tf.abs(gradient), (1, 2, 3), keepdims=True)
        momentum = self.decay * state.momentum + gradient * (1.0 / tf.maximum(length, _TINY))
        step = self.step_size or default_step(self.eps, self.norm, self.steps)
        moved = ball(self.norm).climb(state.current, momentum, step, state.region)
        return state._replace(current=moved, momentum=momentum)

    def _remember(self, state: _State, fooled: Flags) -> _State:
        if self.early_stop:
            fooled &= ~state.done  # the iterates of these are undefined
        return state._replace(
            found=blend(fooled, state.current, state.found),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )
