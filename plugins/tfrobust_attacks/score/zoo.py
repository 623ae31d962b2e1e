"""ZOO: Carlini & Wagner's attack on gradients that are measured, some coordinates at a time.

min ‖x′ − x‖₂² + c · max(0, κ − m(x′)) over x′ in [0, 1], m the margin: by Adam, a batch of random
coordinates i a step, with ∂ᵢm ≈ (m(x′ + h eᵢ) − m(x′ − h eᵢ)) / 2h

Chen, Zhang, Sharma, Yi & Hsieh, "ZOO: zeroth order optimization based black-box attacks to deep
neural networks without training substitute models" (2017): its ZOO-Adam. Threat: score-based,
minimum L2 norm.
Departures: the distance's derivative is not measured but known. The margin of the logits replaces
that of the log probabilities, which it equals. h is 0.001 where the paper has 0.0001: float32
logits round. Pixels are clipped to [0, 1] where the paper changes variables. All images of a step
take the same coordinates, each once. Every iterate is evaluated, for one more query per step;
`queries` may end the search at any step. The search for c is that of
`tfrobust_attacks.shared.searching_attack`. There is no dimension reduction and no importance
sampling, which the paper needs for large images only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import clearly_adversarial, is_adversarial, margin
from tfrobust.norms import L2
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage
from tfrobust_attacks.score.spsa import affordable, slopes_along
from tfrobust_attacks.shared.constant_search import Round
from tfrobust_attacks.shared.searching_attack import Candidate, SearchingAttack

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8  # Adam's


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images
    mean: Images  # Adam's moments, per coordinate
    variance: Images
    time: Images
    round: Round
    best: Images
    best_score: PerImage  # its squared distance
    done: Flags


@plugin
class ZerothOrder(SearchingAttack):
    """The smallest L2 perturbation that changes the class, from logits alone."""

    steps: int = option("maximum number of Adam steps per round", default=3000, ge=1)
    initial_const: float = option(
        "the constant c in the first round", default=0.01, gt=0, trace="input"
    )
    coordinates: int = option("B: maximum number of coordinates per step", default=128, ge=1)
    h: float = option("distance of a probe from the image, in one coordinate", default=1e-3, gt=0)
    queries: int | None = option(
        "maximum forward passes per image; none: what the steps need", default=None, ge=1
    )

    @property
    def threat(self) -> Threat:
        """Score-based, minimum L2 norm."""
        return Threat("score", "l2", self.targeted)

    def start(self, classifier: Classifier, images: Images, labels: Labels) -> _State:
        """Return the state before the first step; see `SearchingAttack`."""
        zeros = tf.zeros_like(images)
        return _State(
            clean=images,
            labels=labels,
            current=images,
            mean=zeros,
            variance=zeros,
            time=zeros,
            round=self.search.start(labels),
            best=images,
            best_score=tf.zeros_like(labels, tf.float32) + float("inf"),
            done=is_adversarial(classifier(images), labels, targeted=self.targeted),
        )

    def most_steps(self, classifier: Classifier) -> int:
        """Return how many steps the search takes and `queries` has room for."""
        cost = 2 * self._measured(classifier) + 1
        return affordable(super().most_steps(classifier), cost, self.queries)

    def _measured(self, classifier: Classifier) -> int:
        height, width, channels = classifier.image_shape
        return min(self.coordinates, height * width * channels)

    def step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Judge the current iterate, and move some of its coordinates."""
        logits = classifier(state.current)
        miss = tf.nn.relu(self.confidence - self._lead(logits, state.labels))
        square = tf.square(L2().distance(state.current, state.clean))
        success = (miss <= 0) & clearly_adversarial(logits, state.labels, targeted=self.targeted)
        objective = square + state.round.const * miss
        rise, moving = self._measure(classifier, state, seed)
        price = state.round.const * tf.cast(miss > 0, tf.float32)
        gradient = 2.0 * (state.current - state.clean) - price[:, None, None, None] * rise
        moved = self._adam(state, gradient, moving)
        return self.after_step(state, moved, Candidate(state.current, square, objective, success))

    def _lead(self, logits: Logits, labels: Labels) -> PerImage:
        lead = margin(logits, labels)
        return -lead if self.targeted else lead

    def _measure(self, classifier: Classifier, state: _State, seed: Any) -> tuple[Images, Any]:
        """Return the lead's derivative in random coordinates, 0 in the others, and which they are.

        The latter as ones among zeros, `(1, height, width, channels)`.
        """
        count, shape = self._measured(classifier), (-1, *classifier.image_shape)
        drawn = tf.random.stateless_uniform((tf.size(state.clean[0]),), seed)
        chosen = tf.math.top_k(drawn, count).indices

        def axes(first: Any, last: Any) -> Any:
            return tf.reshape(tf.one_hot(chosen[first:last], tf.size(drawn)), shape)

        slopes = slopes_along(
            classifier,
            state.current,
            axes,
            count=count,
            score=lambda logits, copies: self._lead(logits, tf.tile(state.labels, [copies])),
            reach=self.h,
        )
        whole = tf.scatter_nd(
            chosen[:, None], slopes, tf.stack([tf.size(drawn), tf.shape(slopes)[1]])
        )
        moving = tf.scatter_nd(chosen[:, None], tf.ones(count), tf.shape(drawn))
        return tf.reshape(tf.transpose(whole), shape), tf.reshape(moving, shape)

    def _adam(self, state: _State, gradient: Images, moving: Any) -> _State:
        """Move the measured coordinates; each coordinate has its own moments and its own time."""
        time = state.time + moving
        mean = state.mean + moving * (1 - _BETA1) * (gradient - state.mean)
        variance = state.variance + moving * (1 - _BETA2) * (tf.square(gradient) - state.variance)
        since = tf.maximum(time, 1.0)
        rate = self.learning_rate * tf.sqrt(1 - _BETA2**since) / (1 - _BETA1**since)
        moved = state.current - moving * rate * mean / (tf.sqrt(variance) + _TINY)
        current = tf.clip_by_value(moved, 0.0, 1.0)
        return state._replace(current=current, mean=mean, variance=variance, time=time)

    def restarted(self, state: _State, over: Flags) -> _State:
        """Return to the clean images, with fresh moments; see `SearchingAttack`."""
        zeros = tf.zeros_like(state.mean)
        return state._replace(
            current=blend(over, state.clean, state.current),
            mean=blend(over, zeros, state.mean),
            variance=blend(over, zeros, state.variance),
            time=blend(over, zeros, state.time),
        )
