"""Carlini and Wagner's L2 attack with CleverHans 4's objective.

min_w ‖x(w) − x‖² + c · max(0, z_y − max_{k≠y} z_k + κ),  x(w) = (tanh(w) + 1) / 2

Carlini & Wagner, "Towards evaluating the robustness of neural networks" (2017).
Threat: white-box, minimum L2 norm.

The change of variables and the objective are CleverHans's functions. Its driver cannot be traced
(NumPy, Python loops of thousands of steps) and has three faults, so the loop is ours. Departures
from it: `c` is one number per image (CleverHans keeps an image-shaped one, which broadcasting
mixes over the batch); the binary search uses the success of the last round, as in the paper, not of
any round so far; success includes the confidence; abort-early is decided per image, not per batch.
Labels are always given, never guessed. An image that is adversarial before the attack is returned
unchanged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
from cleverhans.tf2.attacks.carlini_wagner_l2 import clip_tanh, loss_fn

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7  # Adam's, as Keras sets them
_UNBOUNDED = 1e10


class _State(NamedTuple):
    origin: Images  # the clean image before the tanh
    labels: Labels
    modifier: Images
    mean: Images  # Adam's moments
    variance: Images
    iteration: Labels  # of this round
    last_loss: PerImage  # at the last check of abort-early
    succeeded: Flags  # in this round
    const: PerImage
    lower: PerImage
    upper: PerImage
    round: Labels
    best: Images
    best_l2: PerImage  # squared
    done: Flags


@plugin
class CleverHansCarliniWagnerL2(GradientAttack):
    """The smallest L2 perturbation that changes the class, by Adam and binary search."""

    minimum_norm = True

    eps: float | None = option(
        "L2 budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    binary_search_steps: int = option("rounds of the search for the constant c", default=5, ge=1)
    max_iterations: int = option("gradients per round", default=1000, ge=1)
    abort_early: bool = option("end a round once its objective stops falling", default=True)
    confidence: float = option("κ: margin to reach, in logits", default=0.0, ge=0)
    initial_const: float = option(
        "the constant c in the first round", default=1e-2, gt=0, trace="input"
    )
    learning_rate: float = option("learning rate of Adam", default=5e-3, gt=0, trace="input")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum L2 norm."""
        return Threat("white-box", "l2", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        state = iterate(
            lambda state, _: self._end_of_round(*self._step(classifier, state)),
            self._start(classifier, images, labels),
            steps=self.binary_search_steps * self.max_iterations,
        )
        return state.best

    def _start(self, classifier: Classifier, images: Images, labels: Labels) -> _State:
        zeros, image_zeros = tf.zeros_like(labels, tf.float32), tf.zeros_like(images)
        return _State(
            origin=tf.atanh((images * 2.0 - 1.0) * 0.999999),  # CleverHans's factor: ±1 is ±∞
            labels=labels,
            modifier=image_zeros,
            mean=image_zeros,
            variance=image_zeros,
            iteration=tf.zeros_like(labels),
            last_loss=zeros + float("inf"),
            succeeded=tf.zeros_like(labels, tf.bool),
            const=zeros + self.initial_const,
            lower=zeros,
            upper=zeros + _UNBOUNDED,
            round=tf.zeros_like(labels),
            best=images,
            best_l2=zeros + _UNBOUNDED,
            done=is_adversarial(classifier(images), labels, targeted=self.targeted),
        )

    def _step(self, classifier: Classifier, state: _State) -> tuple[_State, PerImage]:
        """Take one step of Adam; return the objective at the point before the step."""
        candidate, gradient, hinge, distance, hit = self._objective(classifier, state)
        success = hit & (hinge <= 0)
        better = success & (distance < state.best_l2)
        iteration = state.iteration + 1
        modifier, mean, variance = self._adam(state, gradient, iteration)
        state = state._replace(
            modifier=modifier,
            mean=mean,
            variance=variance,
            iteration=iteration,
            succeeded=state.succeeded | success,
            best=_select(better, candidate, state.best),
            best_l2=tf.where(better, distance, state.best_l2),
        )
        return state, distance + state.const * hinge

    def _objective(self, classifier: Classifier, state: _State) -> tuple[Any, ...]:
        point, const = state.origin + state.modifier, state.const
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([point, const])
            candidate = clip_tanh(point, clip_min=0.0, clip_max=1.0)
            logits = classifier(candidate)
            loss, distance = loss_fn(
                x=state.origin,
                x_new=candidate,
                y_true=tf.one_hot(state.labels, tf.shape(logits)[1]),
                y_pred=logits,
                confidence=self.confidence,
                const=const,
                targeted=self.targeted,
                clip_min=0.0,
                clip_max=1.0,
            )
        # CleverHans sums the loss over the batch; it is linear in each image's c, so that the
        # derivative by c is the image's own hinge term.
        gradient, hinge = tape.gradient(loss, [point, const])
        hit = is_adversarial(logits, state.labels, targeted=self.targeted)
        return candidate, gradient, hinge, distance, hit

    def _adam(self, state: _State, gradient: Images, iteration: Labels) -> tuple[Any, ...]:
        time = tf.cast(iteration, tf.float32)[:, None, None, None]
        mean = _BETA1 * state.mean + (1 - _BETA1) * gradient
        variance = _BETA2 * state.variance + (1 - _BETA2) * tf.square(gradient)
        rate = self.learning_rate * tf.sqrt(1 - _BETA2**time) / (1 - _BETA1**time)
        return state.modifier - rate * mean / (tf.sqrt(variance) + _EPSILON), mean, variance

    def _end_of_round(self, state: _State, loss: PerImage) -> _State:
        """Move the images whose round is over to their next `c`."""
        over = state.iteration >= self.max_iterations
        last_loss = state.last_loss
        if self.abort_early:
            checking = (state.iteration - 1) % max(self.max_iterations // 10, 1) == 0
            over |= checking & (loss > last_loss * 0.9999)
            last_loss = tf.where(checking, loss, last_loss)
        won, lost = over & state.succeeded, over & ~state.succeeded
        upper = tf.where(won, tf.minimum(state.upper, state.const), state.upper)
        lower = tf.where(lost, tf.maximum(state.lower, state.const), state.lower)
        bounded = upper < _UNBOUNDED
        const = tf.where(bounded, (lower + upper) / 2.0, state.const * 10.0)
        number = state.round + tf.cast(over, tf.int64)
        if self.binary_search_steps >= 10:  # CleverHans ends a long search at the upper bound
            const = tf.where(number == self.binary_search_steps - 1, upper, const)
        return state._replace(
            modifier=_select(over, 0.0, state.modifier),
            mean=_select(over, 0.0, state.mean),
            variance=_select(over, 0.0, state.variance),
            iteration=tf.where(over, tf.zeros_like(state.iteration), state.iteration),
            last_loss=tf.where(over, float("inf"), last_loss),
            succeeded=state.succeeded & ~over,
            const=tf.where(over, const, state.const),
            lower=lower,
            upper=upper,
            round=number,
            done=number >= self.binary_search_steps,
        )


def _select(flags: Flags, yes: Any, no: Images) -> Images:
    return tf.where(flags[:, None, None, None], yes, no)
