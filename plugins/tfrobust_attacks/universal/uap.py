"""Universal adversarial perturbations: one perturbation for all images.

`deepfool`: v ← Π(v + argmin_r ‖r‖ s.t. k(x_i + v + r) ≠ k(x_i)) over the images x_i that v does not
fool yet; DeepFool solves the inner problem.
`gradient`: v ← Π(v + α · argmax_{‖d‖ ≤ 1} ⟨Σ_i ∇ L(x_i + v), d⟩) over batches, L the loss.
Both stop when v fools a share 1 − δ of the training images.

Moosavi-Dezfooli, Fawzi, Fawzi & Frossard, "Universal adversarial perturbations" (2017) is the
first; Shafahi, Najibi, Xu, Dickerson, Davis & Goldstein, "Universal adversarial training" (2020)
the second, and the default: on the reference network it fools four times as many images in a
fiftieth of the time. Threat: white-box on the training images, none on the images it is applied to;
Linf or L2.
Departures: with `deepfool` all perturbations of a batch are computed at the same v, and their mean
is added, scaled to the norm of the longest (`batch_size=1` is the paper's). With `gradient` the
step falls from a tenth of the radius to zero, or from more if the batches are too few to cross the
ball. The best v is kept (the last of equals), because the share it fools may fall again. A file
can be used only with the ball that v was learned for. v is learned for whole images; with a
`region`, only its part in the region is applied and evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, predicted_classes
from tfrobust.engine.gradients import loss_gradient
from tfrobust.engine.learning import Arrays, LearningAttack
from tfrobust.engine.losses import LossName
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.types import Images, Labels

_TINY = 1e-12


@plugin
class UniversalPerturbation(LearningAttack, GradientAttack):
    """One perturbation for all images, learned on training images."""

    eps: float = option("ξ: radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    method: Literal["gradient", "deepfool"] = option("learning method", default="gradient")
    loss: LossName = option(
        "loss that `gradient` maximises: ce, margin (C&W) or dlr", default="margin"
    )
    delta: float = option(
        "δ: stop if at most this share of images is not fooled", default=0.0, ge=0, lt=1
    )
    passes: int = option("maximum number of passes over the training images", default=10, ge=1)
    training_images: int = option("images of the training split to learn from", default=1000, ge=1)
    batch_size: int = option("images per update of the perturbation", default=100, ge=1)
    file: Path | None = option(".npz with the perturbation; written if missing", default=None)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm)

    @property
    def binding(self) -> tuple[str, ...]:
        """The ball; the options of the learning do not matter."""
        return "eps", "norm"

    def learn(
        self,
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> Arrays:
        """Return `perturbation` `(height, width, channels)`; see `LearningAttack`."""
        step = self._compiled(classifier)
        predicted = predicted_classes(classifier, images)
        current: Any = np.zeros(images.shape[1:], np.float32)
        best, fooled = current, -1.0
        draw = np.random.default_rng(seed)
        sizes = iter(self._sizes(len(images)))
        for number in range(self.passes):
            order = draw.permutation(len(images))
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                current = step(current, images[rows], predicted[rows], next(sizes))
            share = float((_moved_classes(classifier, images, current) != predicted).mean())
            if share >= fooled:
                best, fooled = current, share
            if on_progress:
                on_progress(len(images) * (number + 1) // self.passes)
            if fooled >= 1.0 - self.delta:
                break
        return {"perturbation": np.asarray(best)}

    def check_learned(self, arrays: Arrays, classifier: Classifier) -> None:
        """Refuse a perturbation of another shape; see `LearningAttack`."""
        shape = np.shape(arrays.get("perturbation", ()))
        if shape != classifier.image_shape:
            raise UsageError(
                f"uap: file: expected a perturbation {classifier.image_shape}; received: {shape}"
            )

    def apply(
        self,
        learned: Mapping[str, Any],
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: Any,
    ) -> Images:
        """Add the perturbation; see `LearningAttack`."""
        geometry = ball(self.norm)
        moved = images + learned["perturbation"][None]
        return geometry.project(moved, geometry.region(images, self.eps))

    def _sizes(self, images: int) -> Any:
        """Return the size of every step; their sum is at least two and a half times the radius."""
        steps = self.passes * math.ceil(images / self.batch_size)
        first = max(0.1, 5.0 / steps) * self.eps
        return np.linspace(first, 0.0, steps, endpoint=False, dtype=np.float32)

    def _compiled(self, classifier: Classifier) -> Callable[..., Any]:
        """Trace one step of v on a batch: `(v, images, predicted classes, size) -> v`."""
        shape = classifier.image_shape
        move = self._by_deepfool if self.method == "deepfool" else self._by_gradient

        def step(current: Any, images: Images, labels: Labels, size: Any) -> Any:
            moved = tf.clip_by_value(images + current, 0.0, 1.0)
            return self._into_ball(current + move(classifier, moved, labels, size))

        specs = [
            tf.TensorSpec(shape, tf.float32),
            tf.TensorSpec((None, *shape), tf.float32),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((), tf.float32),
        ]
        return tf.function(step, input_signature=specs, autograph=False)

    def _by_gradient(self, classifier: Classifier, moved: Images, labels: Labels, size: Any) -> Any:
        gradient, _ = loss_gradient(classifier, moved, labels, targeted=False, loss=self.loss)
        return size * ball(self.norm).steepest(tf.reduce_sum(gradient, axis=0, keepdims=True))[0]

    def _by_deepfool(self, classifier: Classifier, moved: Images, labels: Labels, _: Any) -> Any:
        deepfool = create("attacks", "deepfool", norm=self.norm, steps=10)
        length = ball(self.norm).distance
        changes = deepfool(classifier, moved, labels, seed=0) - moved
        mean = tf.reduce_mean(changes, axis=0, keepdims=True)
        longest = tf.reduce_max(length(changes, tf.zeros_like(changes)))
        return mean[0] * longest / tf.maximum(length(mean, tf.zeros_like(mean)), _TINY)

    def _into_ball(self, perturbation: Any) -> Any:
        if self.norm == "linf":
            return tf.clip_by_value(perturbation, -self.eps, self.eps)
        length = tf.sqrt(tf.reduce_sum(tf.square(perturbation)))
        return perturbation * tf.minimum(1.0, self.eps / tf.maximum(length, _TINY))


def _moved_classes(classifier: Classifier, images: Images, perturbation: Any) -> Labels:
    """Return the predicted classes of the perturbed images, of which one batch is held at a time.

    There may be more images than fit into memory.
    """
    change = np.asarray(perturbation)
    parts = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
    return np.concatenate(
        [predicted_classes(classifier, np.clip(part + change, 0.0, 1.0)) for part in parts]
    )
