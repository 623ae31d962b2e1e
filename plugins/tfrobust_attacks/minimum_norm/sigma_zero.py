"""σ-zero: gradient steps on a smooth count of the changed pixels, and a threshold that adapts.

δ_{k+1} = Π_τ(clip(x + δ_k − η_k · Adam(g / ‖g‖_∞)) − x)
g = ∇ [f(x + δ_k) + (1/d) Σ_i s_i / (s_i + σ)]
f = max(0, z_y − max_{k≠y} z_k), or max(0, max_{k≠t} z_k − z_t) for a target t

s_i is the squared change of pixel i, and d the number of pixels. Π_τ undoes the change of every
pixel that has changed by less than τ. τ grows by t · η_k where the image is adversarial and shrinks
by as much where it is not. η_k falls to a tenth of η₀ along half a cosine.

Cinà, Villani, Pintor, Schönherr, Biggio & Pelillo, "σ-zero: Gradient-based optimization of ℓ0-norm
adversarial examples" (2025). Threat: white-box, minimum L0 norm.
Departures: the norm counts pixels, not values, so all channels of a pixel are kept or undone
together; with one channel this is the paper's attack. f stays on until the image is adversarial by
more than rounding can undo. The image after the last step is evaluated as well, which costs a
forward pass in addition to the `steps` gradients. The paper takes 1000 steps, and has no
targets.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, loss_and_slope
from tfrobust.norms import PIXELS
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage

_LAST_STEP = 0.1  # η falls to this share of itself
_BETA1, _BETA2 = 0.9, 0.999  # Adam's
_STABLE = 1e-8  # Adam's ε
_FLAT = 1e-12  # a gradient below this is not scaled up to 1


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images
    mean: Images  # of the gradients, as Adam averages them
    square: Images  # of their squares
    threshold: PerImage  # τ
    best: Images  # the adversarial image with the fewest changed pixels; before, the clean image
    best_distance: PerImage
    done: Flags


@plugin
class SigmaZero(GradientAttack):
    """The fewest changed pixels, by gradients of a smooth count of them."""

    minimum_norm = True

    eps: float | None = option(
        "L0 budget of the evaluation, in pixels; none: any distance",
        default=None,
        ge=0,
        trace="unused",
    )
    steps: int = option("gradients per image", default=300, ge=1)
    step_size: float = option("η₀: size of the first step, in pixel values", default=1.0, gt=0)
    sigma: float = option("σ: smoothness of the count of pixels", default=1e-3, gt=0, trace="input")
    threshold: float = option(
        "τ₀: least change of a pixel at the start", default=0.3, ge=0, le=1, trace="input"
    )
    threshold_rate: float = option(
        "t: change of τ per step, as a share of η", default=0.01, gt=0, le=1
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, minimum L0 norm."""
        return Threat("white-box", "l0", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        rates = tf.constant([self._rates(number) for number in range(self.steps)])
        state = iterate(
            lambda state, number: self._step(classifier, state, rates[number]),
            self._start(images, labels),
            steps=self.steps,
            early_stop=False,
        )
        return self._judge(state, classifier(state.current))[0].best

    def _start(self, images: Images, labels: Labels) -> _State:
        zeros = tf.zeros_like(labels, tf.float32)
        return _State(
            clean=images,
            labels=labels,
            current=images,
            mean=tf.zeros_like(images),
            square=tf.zeros_like(images),
            threshold=zeros + self.threshold,
            best=images,
            best_distance=zeros + float("inf"),
            done=tf.zeros_like(labels, tf.bool),
        )

    def _rates(self, number: int) -> list[float]:
        """Return a step's rate for the mean, its factor for the squares, and by how much τ moves.

        Adam corrects both averages for their start at zero; the corrections are part of the rates.
        τ moves with the η of the next step, as in the authors' code.
        """
        mean = self._eta(max(number - 1, 0)) / (1.0 - _BETA1 ** (number + 1))
        square = 1.0 / (1.0 - _BETA2 ** (number + 1))
        return [mean, square, self.threshold_rate * self._eta(number)]

    def _eta(self, number: int) -> float:
        turn = math.cos(math.pi * number / self.steps)
        return self.step_size * (_LAST_STEP + (1.0 - _LAST_STEP) * (1.0 + turn) / 2.0)

    def _step(self, classifier: Classifier, state: _State, rates: Any) -> _State:
        """Evaluate the current image, step, and undo what has changed too little."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.current)
            logits = classifier(state.current)
        _, slope = loss_and_slope(logits, state.labels, targeted=self.targeted, loss="margin")
        state, adversarial = self._judge(state, logits)
        missing = tf.cast(~adversarial, tf.float32)
        uphill = pulled_back(tape, logits, state.current, slope * missing[:, None])
        gradient = _scaled(_count_slope(state.current - state.clean, self.sigma) - uphill)

        mean = _BETA1 * state.mean + (1.0 - _BETA1) * gradient
        square = _BETA2 * state.square + (1.0 - _BETA2) * tf.square(gradient)
        step = rates[0] * mean / (tf.sqrt(rates[1] * square) + _STABLE)
        moved = tf.clip_by_value(state.current - step, 0.0, 1.0)
        threshold = state.threshold + tf.where(adversarial, rates[2], -rates[2])
        threshold = tf.clip_by_value(threshold, 0.0, 1.0)
        largest = tf.reduce_max(tf.abs(moved - state.clean), axis=3, keepdims=True)
        kept = largest >= threshold[:, None, None, None]
        return state._replace(
            current=tf.where(kept, moved, state.clean),
            mean=mean,
            square=square,
            threshold=threshold,
        )

    def _judge(self, state: _State, logits: Logits) -> tuple[_State, Flags]:
        """Keep the current image if no adversarial one has changed fewer pixels."""
        adversarial = clearly_adversarial(logits, state.labels, targeted=self.targeted)
        changed = tf.reduce_any(tf.not_equal(state.current, state.clean), axis=3)
        distance = tf.reduce_sum(tf.cast(changed, tf.float32), axis=(1, 2))
        better = adversarial & (distance < state.best_distance)
        state = state._replace(
            best=blend(better, state.current, state.best),
            best_distance=tf.where(better, distance, state.best_distance),
        )
        return state, adversarial


def _count_slope(change: Images, sigma: Any) -> Images:
    """Return the gradient of the mean of s / (s + σ) over pixels by the change."""
    squares = tf.reduce_sum(tf.square(change), axis=3, keepdims=True)
    pixels = tf.cast(tf.reduce_prod(tf.shape(change)[1:3]), tf.float32)
    return change * (2.0 * sigma / pixels / tf.square(squares + sigma))


def _scaled(gradient: Images) -> Images:
    """Return the gradient with a largest absolute value of 1."""
    largest = tf.reduce_max(tf.abs(gradient), PIXELS, keepdims=True)
    return gradient * (1.0 / tf.maximum(largest, _FLAT))
