"""Adversarial patch: one picture that fools wherever, and at whatever angle, it lies in an image.

p̂ = argmax_p E_{x, t, l} [log P(A(p, x, l, t))], A the image x with the patch p pasted over it at
the place l, turned and scaled by t; P is the probability of the target, or of any class but the
label. The expectation is over training images and drawn places, angles and sizes; Adam raises it.

Brown, Mané, Roy, Abadi & Gilmer, "Adversarial patch" (2017). Threat: white-box on the training
images, none on the images it is pasted on; bounded in no norm, but in its size.
Departures: without a target the label is left instead of a class reached. Pixels are cut to [0, 1]
after each step. The patch of the pass that fools most training images is kept, at drawn places.
Where it is applied, its size is the whole one, and place and angle are drawn from the image's seed.
No rotation in three dimensions, and no printing: the patch is digital.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.attack import GradientAttack, Strength, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.learning import Arrays, LearningAttack
from tfrobust.engine.losses import is_adversarial, loss_and_slope
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds
from tfrobust.types import Images, ImageShape, Labels
from tfrobust_attacks.universal.pasting import Place, drawn_places, pasted

_BETAS = 0.9, 0.999  # of Adam
_TINY = 1e-8


class _State(NamedTuple):
    """A patch that is learned, and what Adam knows of its gradients, `(side, side, channels)`."""

    patch: Any
    mean: Any
    square: Any
    number: Any  # of steps so far


@plugin
class AdversarialPatch(LearningAttack, GradientAttack):
    """One patch for all images, learned on training images at drawn places, angles and sizes."""

    strength: ClassVar[Strength] = Strength(
        "size", "side =", "side of the patch as a share of the image's shorter side"
    )

    size: float = option(
        "side of the patch, as a share of the image's shorter side", default=0.4, gt=0, le=1
    )
    shape: Literal["round", "square"] = option("shape of the patch", default="round")
    max_rotation: float = option(
        "largest angle that it is turned by, in degrees", default=22.5, ge=0, le=180
    )
    min_scale: float = option(
        "smallest size that it is learned at, as a share of `size`", default=0.8, gt=0, le=1
    )
    target: int | None = option("class to reach; none: leave the label", default=None, ge=0)
    passes: int = option("passes over the training images", default=10, ge=1)
    learning_rate: float = option("learning rate of Adam, in pixel values", default=0.05, gt=0)
    training_images: int = option("images of the training split to learn from", default=1000, ge=1)
    batch_size: int = option("images per step", default=50, ge=1)
    file: Path | None = option(".npz with the patch; written if missing", default=None)

    @property
    def threat(self) -> Threat:
        """White-box, bounded in no norm."""
        return Threat("white-box", None, targeted=self.target is not None)

    @property
    def target_class(self) -> int | None:
        """The target."""
        return self.target

    @property
    def binding(self) -> tuple[str, ...]:
        """What is pasted, and the goal."""
        return "size", "shape", "target"

    def check(self, classifier: Classifier) -> None:
        """Refuse a target that is not a class; see `Attack`."""
        super().check(classifier)
        if self.target is not None and self.target >= classifier.num_classes:
            raise UsageError(
                f"adversarial_patch: target: expected a class from 0 to "
                f"{classifier.num_classes - 1}; received: {self.target}"
            )

    def learn(
        self,
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> Arrays:
        """Return `patch` `(side, side, channels)`; see `LearningAttack`."""
        shape = classifier.image_shape
        side = self._side(shape)
        blank = np.zeros((side, side, shape[2]), np.float32)
        state = _State(blank + 0.5, blank, blank, np.float32(0))
        step = self._compiled(classifier, side)
        goals, rows = labels, np.arange(len(images))
        if self.target is not None:
            goals, rows = np.full_like(labels, self.target), np.flatnonzero(labels != self.target)
        draw = np.random.default_rng(seed)
        best, most = state.patch, -1
        for done in range(self.passes):
            order, fooled = draw.permutation(rows), 0
            for start in range(0, len(order), self.batch_size):
                some = np.sort(order[start : start + self.batch_size])
                seeds = draw.integers(0, 2**31, (len(some), 2), dtype=np.int32)
                state, hits = step(state, images[some], goals[some], seeds)
                fooled += int(hits)
            if fooled >= most:  # by the patches of this pass, of which the last is kept
                best, most = state.patch, fooled
            if on_progress:
                on_progress(len(images) * (done + 1) // self.passes)
        return {"patch": np.asarray(best)}

    def check_learned(self, arrays: Arrays, classifier: Classifier) -> None:
        """Refuse a patch of another shape; see `LearningAttack`."""
        side = self._side(classifier.image_shape)
        expected = side, side, classifier.image_shape[2]
        shape = np.shape(arrays.get("patch", ()))
        if shape != expected:
            raise UsageError(
                f"adversarial_patch: file: expected a patch {expected}; received: {shape}"
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
        """Paste the patch at a place of each image's own; see `LearningAttack`."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        return self._with(learned["patch"], images, self._places(seeds, images.shape[1:], 1.0))

    def _side(self, image_shape: ImageShape) -> int:
        """Return the side of the patch in pixels: at least one."""
        return max(1, round(self.size * min(image_shape[:2])))

    def _places(self, seeds: Any, image_shape: Any, smallest: float) -> Place:
        height, width = image_shape[:2]
        side = self._side((height, width, 1))
        angle = math.radians(self.max_rotation)
        return drawn_places(seeds, height, width, side, smallest=smallest, max_angle=angle)

    def _with(self, patch: Any, images: Images, place: Place) -> Images:
        return pasted(patch, images, place, is_round=self.shape == "round")

    def _compiled(self, classifier: Classifier, side: int) -> Callable[..., Any]:
        """Trace a step of Adam: `(state, images, goals, seeds) -> state, hits before it`."""
        shape, targeted = classifier.image_shape, self.target is not None

        def step(state: _State, images: Images, goals: Labels, seeds: Any) -> Any:
            place = self._places(seeds, shape, self.min_scale)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(state.patch)
                logits = classifier(self._with(state.patch, images, place))
            odds, slope = loss_and_slope(logits, goals, targeted=targeted)
            # Of log P = −softplus(−odds): what is fooled already has little weight.
            weights = tf.nn.sigmoid(-odds) / tf.cast(tf.shape(images)[0], tf.float32)
            rise = pulled_back(tape, logits, state.patch, weights[:, None] * slope)
            hits = tf.math.count_nonzero(is_adversarial(logits, goals, targeted=targeted))
            return self._risen(state, rise), hits

        whole = tf.TensorSpec((side, side, shape[2]), tf.float32)
        specs = [
            _State(whole, whole, whole, tf.TensorSpec((), tf.float32)),
            tf.TensorSpec((None, *shape), tf.float32),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None, 2), tf.int32),
        ]
        return tf.function(step, input_signature=specs, autograph=False)

    def _risen(self, state: _State, rise: Any) -> _State:
        """Take a step of Adam."""
        first, second = _BETAS
        number = state.number + 1.0
        mean = first * state.mean + (1.0 - first) * rise
        square = second * state.square + (1.0 - second) * tf.square(rise)
        length = tf.sqrt(square / (1.0 - second**number)) + _TINY
        moved = state.patch + self.learning_rate * mean / (1.0 - first**number) / length
        return _State(tf.clip_by_value(moved, 0.0, 1.0), mean, square, number)
