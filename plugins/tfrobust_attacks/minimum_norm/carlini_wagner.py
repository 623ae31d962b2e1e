"""Carlini and Wagner's L2 attack: Adam on the distance plus a penalty for not being adversarial.

min_w ‖x(w) − x‖² + c · max(0, z_y − z_k + κ),  x(w) = (tanh(w) + 1) / 2

Carlini & Wagner, "Towards evaluating the robustness of neural networks" (2017); c grows by powers
of ten, then is bisected. Threat: white-box, minimum L2 norm.
Departures: those of `tfrobust_attacks.shared.searching_attack`: which class the hinge follows,
and when a round counts as a success. An image that is adversarial before the attack is returned
unchanged. Adam's ε is inside the root.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.regions import confined
from tfrobust.norms import PIXELS
from tfrobust.options import plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.shared.constant_search import Round
from tfrobust_attacks.shared.searching_attack import Candidate, SearchingAttack, keep

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's, as published
_INSIDE = 0.999999  # the authors' factor: without it, w of a pixel at 0 or 1 is infinite


class _State(NamedTuple):
    clean: Images
    labels: Labels
    worth: Any  # of a logit, in distance, (batch, classes)
    origin: Images  # where every round starts: the clean image before the sigmoid
    point: Images  # 2w
    mean: Images  # Adam's moments
    variance: Images
    round: Round
    best: Images
    best_score: PerImage  # ‖x(w) − x‖²
    done: Flags


@plugin
class CarliniWagnerL2(SearchingAttack, GradientAttack):
    """The smallest L2 perturbation that changes the class, by Adam and binary search."""

    @property
    def threat(self) -> Threat:
        """White-box, minimum L2 norm."""
        return Threat("white-box", "l2", self.targeted)

    def start(self, classifier: Classifier, images: Images, labels: Labels) -> _State:
        """Return the state before the first step; see `SearchingAttack`."""
        worth, wrong = self.look(classifier, images, labels)
        origin = 2.0 * tf.atanh((images * 2.0 - 1.0) * _INSIDE)
        return _State(
            clean=images,
            labels=labels,
            worth=worth,
            origin=origin,
            point=origin,
            mean=tf.zeros_like(images),
            variance=tf.zeros_like(images),
            round=self.search.start(labels),
            best=images,
            best_score=tf.zeros_like(labels, tf.float32) + float("inf"),
            done=wrong,
        )

    def step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Take one step of Adam; evaluate the point before the step.

        (tanh(w) + 1) / 2 = sigmoid(2w), in one operation instead of three.
        """
        candidate = tf.sigmoid(state.point)
        # Outside the region only rounding moved a pixel; Adam would scale that up.
        change = confined(candidate - state.clean)
        square = tf.reduce_sum(tf.square(change), PIXELS)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(candidate)
            logits = classifier(candidate)
        now = self.hinge(logits, state.labels, state.worth)
        const = state.round.const
        climb = pulled_back(tape, logits, candidate, 0.5 * const[:, None] * now.slope)
        quarter = tf.raw_ops.SigmoidGrad(y=candidate, dy=change + climb)
        moved = _adam(state, quarter, self.learning_rate)
        objective = square + const * now.value
        return self.after_step(state, moved, Candidate(candidate, square, objective, now.success))

    def restarted(self, state: _State, over: Flags) -> _State:
        """Return to the clean images, with fresh moments; see `SearchingAttack`."""
        zeros = tf.zeros_like(state.mean)
        return state._replace(
            point=keep(over, state.origin, state.point),
            mean=keep(over, zeros, state.mean),
            variance=keep(over, zeros, state.variance),
        )


def _adam(state: _State, quarter: Images, learning_rate: Any) -> _State:
    """Move w against the gradient, of which a quarter is given (Kingma & Ba 2015).

    The point is 2w, and the moments lack their factors 1 − β: both save operations on whole
    images. A constant factor of the gradient changes Adam only through ε, so ε is scaled as well. ε
    is inside the root: one operation then computes the root and the division.
    """
    time, scale = state.round.step + 1.0, (1.0 - _BETA2) ** 0.5
    mean = _BETA1 * state.mean + quarter
    variance = _BETA2 * state.variance + tf.square(quarter)
    rate = learning_rate * tf.sqrt(1.0 - _BETA2**time) / (1.0 - _BETA1**time)
    rate *= 2.0 * (1.0 - _BETA1) / scale
    inverse = tf.math.rsqrt(variance + (_EPSILON / (4.0 * scale)) ** 2)
    step = rate[:, None, None, None] * mean * inverse
    return state._replace(point=state.point - step, mean=mean, variance=variance)
