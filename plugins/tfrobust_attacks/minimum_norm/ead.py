"""EAD: Carlini & Wagner's hinge under an elastic net, so that few pixels change.

min_{x' ∈ [0, 1]} c · max(0, z_y − z_k + κ) + ‖x' − x‖₂² + β ‖x' − x‖₁

FISTA: x_{t+1} = S_β(y_t − α_t ∇g(y_t)), y_{t+1} = x_{t+1} + t / (t + 3) · (x_{t+1} − x_t), where g
is the objective without its L1 term, S_β takes β from every change and what is smaller away, and
α_t = α √(1 − t / steps).

Chen, Sharma, Zhang, Yi & Hsieh, "EAD: elastic-net attacks to deep neural networks via adversarial
examples" (2018). Threat: white-box, minimum L1 norm.
Departures: those of `tfrobust_attacks.minimum_norm.constant_search`: which class the hinge follows
(here the nearest in L1), and when a round counts as a success. An image that is adversarial before
the attack is returned unchanged. The image kept is by default the nearest in L1. With `abort_early`
a round whose objective no longer falls goes on with its last fifth, where the steps are shortest:
ended at once, it leaves the L1 distance up to a tenth longer.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import iterate
from tfrobust.engine.losses import pulled_back
from tfrobust.norms import PIXELS
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.minimum_norm.constant_search import (
    ConstantSearch,
    Round,
    SearchingAttack,
    keep,
)


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
    """Few changed pixels: iterative shrinkage and binary search."""

    beta: float = option(
        "β: weight of the L1 norm beside L2 squared", default=0.01, ge=0, trace="input"
    )
    decision_rule: Literal["l1", "en"] = option(
        "the image kept is the nearest in L1, or in the elastic net", default="l1"
    )

    @property
    def threat(self) -> Threat:
        """White-box, minimum L1 norm."""
        return Threat("white-box", "l1", self.targeted)

    @property
    def search(self) -> ConstantSearch:
        """The shared rules, but a round settles before it ends."""
        return dataclasses.replace(super().search, settle=True)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        state = iterate(
            lambda state, _: self._step(classifier, state),
            self._start(classifier, images, labels),
            steps=self.binary_search_steps * self.steps,
            outcome=("best_score",),  # `best` changes with it alone: `_step` looks at `done`
        )
        return state.best

    def _start(self, classifier: Classifier, images: Images, labels: Labels) -> _State:
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

    def _step(self, classifier: Classifier, state: _State) -> _State:
        """Take one step of FISTA and judge where it leads."""
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
        better = now.success & (score < state.best_score) & ~state.done
        round_, over = self.search.advance(state.round, net + const * now.value, now.success)
        state = state._replace(
            current=current,
            ahead=current + momentum * (current - state.current),
            round=round_,
            best=keep(better, current, state.best),
            best_score=tf.where(better, score, state.best_score),
        )
        over &= ~state.done
        return tf.cond(tf.reduce_any(over), lambda: self._next_round(state, over), lambda: state)

    def _gradient(self, classifier: Classifier, state: _State) -> Images:
        """Return ∇g at the point ahead."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.ahead)
            logits = classifier(state.ahead)
        now = self.hinge(logits, state.labels, state.worth)
        upstream = state.round.const[:, None] * now.slope
        climb = pulled_back(tape, logits, state.ahead, upstream)
        return climb + 2.0 * (state.ahead - state.clean)

    def _next_round(self, state: _State, over: Flags) -> _State:
        """Set the images whose round is over back to the start, with their next c."""
        following, last = self.search.following(state.round, over)
        return state._replace(
            current=keep(over, state.clean, state.current),
            ahead=keep(over, state.clean, state.ahead),
            round=following,
            done=state.done | last,
        )


def _shrink(images: Images, clean: Images, beta: float) -> Images:
    """Return S_β: every change smaller by β, those below β none, all inside [0, 1]."""
    change = images - clean
    return tf.clip_by_value(clean + change - tf.clip_by_value(change, -beta, beta), 0.0, 1.0)
