"""The Jacobian-based saliency map attack: the two most salient features per step.

(p, q) = argmax −α β,  α = Σ_{i=p,q} ∂z_t/∂x_i > 0,  β = Σ_{i=p,q} Σ_{j≠t} π_j ∂z_j/∂x_i < 0

Both rise by θ, until the image reaches its target, a share γ of the features has changed, or no
admissible pair is left. Features are values, not pixels; the norm counts pixels.

Papernot, McDaniel, Jha, Fredrikson, Celik & Swami, "The limitations of deep learning in adversarial
settings" (2015). Threat: white-box, minimum L0 norm.
Departures: the paper sums the derivatives of all other logits, so that unlikely classes count as
much as the likeliest. Here they are weighted by π, the softmax over the other classes (`weighted`;
without it, the paper's sum), which reaches more targets with fewer pixels. Features that are at 0
or 1 from the start and cannot move are excluded at once, not after a wasted step. An image that
does not reach its target is returned unchanged, where the paper says nothing, and CleverHans 2
returns it as it was changed (`unreached = "changed"`). Without targets each step aims at the class
with the largest logit except the label's.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import class_gradients
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial
from tfrobust.engine.regions import free_pixels
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits
from tfrobust_attacks.minimum_norm.feature_pairs import best_pair

_NEVER = -float("inf")  # the logit of a class that is not to be chosen


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images
    reached: Flags
    done: Flags  # reached, or no admissible pair left


@plugin
class JacobianSaliencyMap(GradientAttack):
    """A few strongly changed pixels, two at a time."""

    minimum_norm = True

    eps: float | None = option(
        "L0 budget of the evaluation, in pixels; none: any distance",
        default=None,
        ge=0,
        trace="unused",
    )
    theta: float = option("θ: change of a feature per step", default=1.0, ge=-1, le=1)
    gamma: float = option("γ: maximum share of changed features", default=0.1, gt=0, le=1)
    weighted: bool = option(
        "weight other classes by probability instead of summing them", default=True
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=True)
    unreached: Literal["clean", "changed"] = option(
        "what an image that misses its target is returned as (CleverHans 2: changed)",
        default="clean",
    )

    @property
    def threat(self) -> Threat:
        """White-box, minimum L0 norm."""
        return Threat("white-box", "l0", self.targeted)

    def check(self, classifier: Classifier) -> None:
        """Refuse steps of no length; see `Attack`."""
        super().check(classifier)
        if self.theta == 0:
            raise UsageError("jsma: theta: expected a number other than 0; received: 0")

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; where the target was not reached, what `unreached` says."""
        nowhere = tf.zeros_like(labels, tf.bool)
        budget = math.floor(self.gamma * math.prod(classifier.image_shape) + 1e-6)
        moves = budget * math.ceil(1.0 / abs(self.theta))
        state = iterate(
            lambda state, _: self._step(classifier, state, budget),
            _State(images, labels, images, nowhere, nowhere),
            steps=moves // 2 + 1,  # the last one only evaluates
            outcome=("current", "reached"),
        )
        if self.unreached == "changed":
            return state.current
        return blend(state.reached, state.current, images)

    def _step(self, classifier: Classifier, state: _State, budget: int) -> _State:
        """Evaluate the current images and move their best pairs."""
        logits, gradients = class_gradients(
            classifier, state.current, lambda logits: self._sides(logits, state.labels)
        )
        reached = clearly_adversarial(logits, state.labels, targeted=self.targeted)
        free = self._free(_flat(state.current), _flat(state.clean), budget)
        if (pixels := free_pixels()) is not None:
            free &= _flat(tf.repeat(pixels, state.clean.shape[3], axis=3))
        upwards = math.copysign(1.0, self.theta)
        own, others = _flat(gradients[0]), _flat(gradients[1])
        pair = best_pair(upwards * own, -upwards * others, free)
        stuck = pair.value <= 0.0
        features = free.shape[1]
        moved = tf.one_hot(pair.first, features) + tf.one_hot(pair.second, features)
        moved = tf.reshape(moved, tf.shape(state.current))
        current = tf.clip_by_value(state.current + self.theta * moved, 0.0, 1.0)
        return state._replace(
            current=blend(reached | stuck, state.current, current),
            reached=state.reached | reached,
            done=state.done | reached | stuck,
        )

    def _sides(self, logits: Logits, labels: Labels) -> Any:
        """Return what to differentiate: the logit of the target class, and those of the others."""
        classes = tf.shape(logits)[1]
        target = labels
        if not self.targeted:
            target = tf.argmax(logits + tf.one_hot(labels, classes, _NEVER, 0.0), axis=1)
        own = tf.one_hot(target, classes)
        if not self.weighted:
            return tf.stack([own, 1.0 - own])
        return tf.stack([own, tf.nn.softmax(logits + tf.one_hot(target, classes, _NEVER, 0.0))])

    def _free(self, current: Any, clean: Any, budget: int) -> Any:
        """Return which features may still be moved, float32 `(batch, features)`."""
        wall = 1.0 if self.theta > 0 else 0.0
        changed = current != clean
        spent = tf.math.count_nonzero(changed, axis=1, keepdims=True, dtype=tf.int32) + 2 > budget
        return (current != wall) & (changed | ~spent)


def _flat(images: Images) -> Any:
    return tf.reshape(images, (tf.shape(images)[0], math.prod(images.shape[1:])))
