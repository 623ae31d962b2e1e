"""EAD: Carlini & Wagner's hinge under an elastic net, so that few pixels change.

min_{x' ∈ [0, 1]} c · max(0, z_y − z_k + κ) + ‖x' − x‖₂² + β ‖x' − x‖₁

FISTA: x_{t+1} = S_β(y_t − α_t ∇g(y_t)), y_{t+1} = x_{t+1} + t / (t + 3) · (x_{t+1} − x_t), where g
is the objective without its L1 term, S_β shrinks every change by β and sets smaller ones to zero,
and α_t = α √(1 − t / steps).

Chen, Sharma, Zhang, Yi & Hsieh, "EAD: elastic-net attacks to deep neural networks via adversarial
examples" (2018). Threat: white-box, minimum L1 norm.
Departures: those of `tfrobust_attacks.shared.searching_attack`: which class the hinge follows
(here the nearest in L1), and when a round counts as a success. An image that is adversarial before
the attack is returned unchanged. By default the attack keeps the image nearest in L1. With
`abort_early` a round whose objective no longer falls continues with its last fifth, where the steps
are shortest: ending it at once makes the L1 distance up to a tenth longer.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.norms import PIXELS
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.shared.constant_search import ConstantSearch, Round
from tfrobust_attacks.shared.searching_attack import Candidate, SearchingAttack, keep


class _State(NamedTuple):
    clean: Images
    labels: Labels
    worth: Any  # of a logit, in distance, (batch, classes)
    current: Images  # x_t
    ahead: Images  # y_t, which may lie outside [0, 1]
    round: Round
    best: Images
    best_score: PerImage  # by the decision rule
    done: Flags


@plugin
class ElasticNet(SearchingAttack, GradientAttack):
    """Few changed pixels, by iterative shrinkage and binary search."""

    beta: float = option(
        "β: weight of the L1 norm next to the squared L2 norm", default=0.01, ge=0, trace="input"
    )
    decision_rule: Literal["l1", "en"] = option(
        "keep the image nearest in L1, or in the elastic net", default="l1"
    )

    @property
    def threat(self) -> Threat:
        """White-box, minimum L1 norm."""
        return Threat("white-box", "l1", self.targeted)

    @property
    def search(self) -> ConstantSearch:
        """The shared rules, but a round settles before it ends."""
        return dataclasses.replace(super().search, settle=True)

    def start(self, classifier: Classifier, images: Images, labels: Labels) -> _State:
        """Return the state before the first step; see `SearchingAttack`."""
        worth, wrong = self.look(classifier, images, labels)
        return _State(
            clean=images,
            labels=labels,
            worth=worth,
            current=images,
            ahead=images,
            round=self.search.start(labels),
            best=images,
            best_score=tf.zeros_like(labels, tf.float32) + float("inf"),
            done=wrong,
        )

    def step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Take one step of FISTA and evaluate the new point."""
        time, const = state.round.step, state.round.const
        rate = self.learning_rate * tf.sqrt(1.0 - time / self.steps)
        descent = rate[:, None, None, None] * self._gradient(classifier, state)
        current = _shrink(state.ahead - descent, state.clean, self.beta)
        momentum = (time / (time + 3.0))[:, None, None, None]
        now = self.hinge(classifier(current), state.labels, state.worth)
        change = current - state.clean
        absolute = tf.reduce_sum(tf.abs(change), PIXELS)
        net = tf.reduce_sum(tf.square(change), PIXELS) + self.beta * absolute
        score = absolute if self.decision_rule == "l1" else net
        moved = state._replace(
            current=current, ahead=current + momentum * (current - state.current)
        )
        objective = net + const * now.value
        return self.after_step(state, moved, Candidate(current, score, objective, now.success))

    def _gradient(self, classifier: Classifier, state: _State) -> Images:
        """Return ∇g at the point ahead."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.ahead)
            logits = classifier(state.ahead)
        now = self.hinge(logits, state.labels, state.worth)
        upstream = state.round.const[:, None] * now.slope
        climb = pulled_back(tape, logits, state.ahead, upstream)
        return climb + 2.0 * (state.ahead - state.clean)

    def restarted(self, state: _State, over: Flags) -> _State:
        """Return to the clean images; see `SearchingAttack`."""
        return state._replace(
            current=keep(over, state.clean, state.current),
            ahead=keep(over, state.clean, state.ahead),
        )


def _shrink(images: Images, clean: Images, beta: Any) -> Images:
    """Return S_β: shrink every change by β, set changes below β to zero, and clip to [0, 1]."""
    change = images - clean
    return tf.clip_by_value(clean + change - tf.clip_by_value(change, -beta, beta), 0.0, 1.0)
