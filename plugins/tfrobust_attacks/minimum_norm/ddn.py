"""Decoupled direction and norm: only the last verdict sets the length of the perturbation.

ε_k = (1 − γ) ε_{k−1} if x̃_{k−1} is adversarial, else (1 + γ) ε_{k−1}
x̃_k = clip(x + ε_k · (δ + α_k g) / ‖δ + α_k g‖₂, 0, 1),  δ = x̃_{k−1} − x,  g = ∇ L / ‖∇ L‖₂

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin & Granger, "Decoupling direction and norm for efficient
gradient-based L2 adversarial attacks and defenses" (2019). Threat: white-box, minimum L2 norm.
Departures: L is the log odds against the label (`tfrobust.engine.losses.log_odds`), which has the
direction of cross-entropy but does not vanish; the logits are scaled to a clean margin of 10. The
paper's cross-entropy depends on the scale of the logits: where they are small it mixes all classes,
and the perturbation gets longer by a third. As in the authors' code, δ is the perturbation after
scaling and clipping, and ε never exceeds the distance to the farthest corner of [0, 1]. Images are
not quantised to 256 levels. An image with a zero gradient does not move. The margin and the verdict
on the last image cost one forward pass each, in addition to the `steps` gradients.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, loss_and_slope, margin
from tfrobust.engine.regions import confined
from tfrobust.norms import L2, PIXELS
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage

_LAST_STEP = 0.01  # α falls from 1 to this along half a cosine
_SHARPNESS = 10.0  # the clean image's margin after scaling
_NO_MARGIN = 1e-12


class _State(NamedTuple):
    clean: Images
    labels: Labels
    scale: PerImage  # of the logits in the loss
    widest: PerImage  # the distance to the farthest corner of [0, 1]
    radius: PerImage  # ε
    current: Images
    best: Images  # the nearest adversarial image; until there is one, the clean image
    best_distance: PerImage
    done: Flags


@plugin
class DecoupledDirectionNorm(GradientAttack):
    """The smallest L2 perturbation, by steps on a sphere that shrinks and grows."""

    minimum_norm = True

    eps: float | None = option(
        "L2 budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    steps: int = option("gradients per image", default=100, ge=1)
    gamma: float = option("γ: relative change of ε per step", default=0.05, gt=0, lt=1)
    init_eps: float = option("ε at the start, as an L2 norm", default=1.0, gt=0, trace="input")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum L2 norm."""
        return Threat("white-box", "l2", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        sizes = tf.constant(self._step_sizes())
        state = iterate(
            lambda state, number: self._step(classifier, state, sizes[number]),
            self._start(images, labels, classifier(images)),
            steps=self.steps,
            early_stop=False,
        )
        distance = L2().distance(state.current, images)
        return self._judge(state, distance, classifier(state.current))[0].best

    def _step_sizes(self) -> list[float]:
        """Return α of every step."""
        turns = (math.cos(math.pi * number / self.steps) for number in range(self.steps))
        return [_LAST_STEP + (1.0 - _LAST_STEP) * (1.0 + turn) / 2.0 for turn in turns]

    def _start(self, images: Images, labels: Labels, logits: Logits) -> _State:
        zeros = tf.zeros_like(labels, tf.float32)
        return _State(
            clean=images,
            labels=labels,
            scale=_SHARPNESS / tf.maximum(tf.abs(margin(logits, labels)), _NO_MARGIN),
            widest=_length(confined(images - tf.round(1.0 - images))),
            radius=zeros + self.init_eps,
            current=images,
            best=images,
            best_distance=zeros + float("inf"),
            done=tf.zeros_like(labels, tf.bool),
        )

    def _step(self, classifier: Classifier, state: _State, size: Any) -> _State:
        """Evaluate the current image, adapt ε to the verdict, and move to the new sphere."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.current)
            logits = classifier(state.current)
        scaled = logits * state.scale[:, None]
        _, slope = loss_and_slope(scaled, state.labels, targeted=self.targeted)
        gradient = pulled_back(tape, logits, state.current, slope)
        change = state.current - state.clean
        state, adversarial = self._judge(state, _length(change), logits)
        factor = tf.where(adversarial, 1.0 - self.gamma, 1.0 + self.gamma)
        radius = tf.minimum(state.radius * factor, state.widest)
        change += L2().steepest(gradient) * size
        change *= tf.math.divide_no_nan(radius, _length(change))[:, None, None, None]
        moved = tf.clip_by_value(state.clean + change, 0.0, 1.0)
        return state._replace(radius=radius, current=moved)

    def _judge(self, state: _State, distance: PerImage, logits: Logits) -> tuple[_State, Flags]:
        """Keep the current image if it is the nearest adversarial one."""
        adversarial = clearly_adversarial(logits, state.labels, targeted=self.targeted)
        better = adversarial & (distance < state.best_distance)
        state = state._replace(
            best=blend(better, state.current, state.best),
            best_distance=tf.where(better, distance, state.best_distance),
        )
        return state, adversarial


def _length(change: Images) -> PerImage:
    return tf.sqrt(tf.reduce_sum(tf.square(change), PIXELS))
