"""Generative adversarial perturbations: a network learns to generate them.

x′ = clip(x + p, 0, 1),  p = min(1, ε / ‖g‖) · g
`universal`: g = G(z), one pattern for all images, z uniform noise that is drawn once.
`image`: g = G(x), one perturbation per image.
G's weights: min −log H(f(x′), k(x)), k the predicted class (`away`); or
min log H(f(x′), k_ll(x)), k_ll the least likely class (`least_likely`); with a `target` t,
min log H(f(x′), t). H is the mean cross-entropy of a batch.

Poursaeed, Katsman, Gao & Belongie, "Generative adversarial perturbations" (2018). Threat: white-box
on the training images, none on the images it is applied to; Linf or L2.
Departures: those of `gap_generator`. The original prefers `least_likely`, on ImageNet's thousand
classes; with ten classes one pattern cannot move each image to its own class, and fools a fifth
as many images as `away`, our default. Adam's learning rate is five times that of the original, for
shorter trainings. The attack keeps the generator after the pass that fooled the most training
images, the last of equals. A perturbation is learned for whole images; with a `region`, only its
part in the region is applied and evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, predict
from tfrobust.engine.learning import Arrays, LearningAttack
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, Logits
from tfrobust_attacks.universal.gap_generator import generated, generator, shapes

_BETA_1 = 0.5  # Adam's, as in the original
_TINY = 1e-12


@plugin
class GenerativePerturbation(LearningAttack, GradientAttack):
    """Perturbations drawn by a network: one for all images, or one per image."""

    eps: float = option("radius of the ball, in the unit of the norm", default=10 / 255, ge=0)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    mode: Literal["universal", "image"] = option(
        "one perturbation for all images, or one per image", default="universal"
    )
    target: int | None = option("class to reach; none: any other class", default=None, ge=0)
    loss: Literal["least_likely", "away"] = option(
        "without target: towards the least likely class, or away from the predicted one",
        default="away",
    )
    filters: int = option("filters of the generator's first convolution", default=64, ge=1)
    blocks: int = option("residual blocks of the generator", default=6, ge=0)
    passes: int = option("passes over the training images", default=10, ge=1)
    training_images: int = option("images of the training split to learn from", default=5000, ge=1)
    batch_size: int = option("images per step", default=100, ge=1)
    learning_rate: float = option("learning rate of Adam", default=1e-3, gt=0)
    file: Path | None = option(
        ".npz with the pattern or generator; written if missing", default=None
    )

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, targeted=self.target is not None)

    @property
    def target_class(self) -> int | None:
        """The target."""
        return self.target

    @property
    def binding(self) -> tuple[str, ...]:
        """The ball, the goal, and in `image` mode the size of the generator."""
        goal = ("target",) if self.target is not None else ("target", "loss")
        form = ("filters", "blocks") if self.mode == "image" else ()
        return "eps", "norm", "mode", *goal, *form

    def learn(
        self,
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> Arrays:
        """Return `perturbation` `(height, width, channels)` or the generator's weights.

        See `LearningAttack`.
        """
        shape = classifier.image_shape
        model = generator(shape, self.filters, self.blocks, seed=seed)
        pattern = tf.random.stateless_uniform((1, *shape), (seed, 0))
        step = self.trained_step(classifier, model, pattern)
        goals, before = self._classes(classifier, images)
        draw = np.random.default_rng(seed)
        best: dict[str, np.ndarray] = {}
        most = -1
        for number in range(self.passes):
            order = draw.permutation(len(images))
            fooled, seen = [], number * len(images)
            for rows in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                fooled.append(step(images[rows], goals[rows], before[rows]))
                seen += len(rows)
                if on_progress:
                    on_progress(seen // self.passes)
            if (total := int(tf.add_n(fooled))) >= most:
                best, most = self._arrays(model, pattern), total
        return best

    def check(self, classifier: Classifier) -> None:
        """Refuse a target that is not a class; see `Attack`."""
        super().check(classifier)
        if self.target is not None and self.loss != type(self)().loss:
            raise UsageError(
                f"gap: loss: {self.loss} is where to go without a target; leave it out, or the "
                f"target {self.target}"
            )
        if self.target is not None and self.target >= classifier.num_classes:
            raise UsageError(
                f"gap: target: expected a class from 0 to {classifier.num_classes - 1}; "
                f"received: {self.target}"
            )

    def check_learned(self, arrays: Arrays, classifier: Classifier) -> None:
        """Refuse arrays that were learned for other images; see `LearningAttack`."""
        shape, sizes = classifier.image_shape, f"images {classifier.image_shape}"
        expected: list[tuple[int, ...]] = [shape]
        if self.mode == "image":
            expected = shapes(shape, self.filters, self.blocks)
            sizes += f" and filters={self.filters}"
        received = [tuple(array.shape) for array in _drawing(arrays)]
        if received != expected:
            raise UsageError(
                f"gap: file: expected what was learned for {sizes}; received: other sizes, "
                f"{received[0] if received else 'none'} the first of them"
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
        """Add the pattern, or the generator's perturbations; see `LearningAttack`."""
        weights = _drawing(learned)
        if self.mode == "universal":
            perturbations = weights[0][None]
        else:
            shape = classifier.image_shape
            drawn = generated(weights, images, shape, self.filters, self.blocks)
            perturbations = self._scaled(drawn)
        geometry = ball(self.norm)
        return geometry.project(images + perturbations, geometry.region(images, self.eps))

    def _classes(self, classifier: Classifier, images: Images) -> tuple[Labels, Labels]:
        """Return the goal and the predicted class of each image, int64 `(n,)` both.

        Logits are kept of one batch at a time.
        """
        parts = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
        logits = (predict(classifier, part) for part in parts)
        classes = [(self._goals(part), part.argmax(axis=1)) for part in logits]
        goals, before = map(np.concatenate, zip(*classes, strict=True))
        return goals, before

    def _goals(self, logits: Logits) -> Labels:
        """Return the class of each image that the cross-entropy uses, int64 `(n,)`."""
        if self.target is not None:
            return np.full(len(logits), self.target, np.int64)
        pick = logits.argmin if self.loss == "least_likely" else logits.argmax
        return pick(axis=1).astype(np.int64)

    @property
    def _approaches(self) -> bool:
        """Whether the goals are classes to reach, not classes to leave."""
        return self.target is not None or self.loss == "least_likely"

    def trained_step(self, classifier: Classifier, model: Any, pattern: Any) -> Callable[..., Any]:
        """Trace a training step of the generator: `(images, goals, classes before) -> fooled`."""
        optimizer = keras.optimizers.Adam(self.learning_rate, beta_1=_BETA_1)
        optimizer.build(model.trainable_variables)
        weights = [variable.value for variable in model.trainable_variables]

        def step(images: Images, goals: Labels, before: Labels) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                drawn = model(pattern if self.mode == "universal" else images)
                moved = tf.clip_by_value(images + self._scaled(drawn), 0.0, 1.0)
                logits = classifier(moved)
                entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(goals, logits)
                entropy = tf.math.log(tf.reduce_mean(entropies) + _TINY)
                loss = entropy if self._approaches else -entropy
            optimizer.apply(tape.gradient(loss, weights), model.trainable_variables)
            now = tf.argmax(logits, 1)
            return tf.math.count_nonzero(now != before if self.target is None else now == goals)

        classes = tf.TensorSpec((None,), tf.int64)
        batch = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
        return tf.function(step, input_signature=[batch, classes, classes], autograph=False)

    def _scaled(self, drawn: Any) -> Any:
        """Return the perturbations, scaled into the ball."""
        length = ball(self.norm).distance(drawn, tf.zeros_like(drawn))[:, None, None, None]
        return drawn * tf.minimum(1.0, self.eps / tf.maximum(length, _TINY))

    def _arrays(self, model: Any, pattern: Any) -> dict[str, np.ndarray]:
        if self.mode == "universal":
            return {"perturbation": np.asarray(self._scaled(model(pattern))[0])}
        weights = enumerate(model.trainable_variables)
        return {f"weight_{number:03}": weight.numpy() for number, weight in weights}


def _drawing(arrays: Mapping[str, Any]) -> list[Any]:
    """Return the pattern, or the generator's weights in their order."""
    if "perturbation" in arrays:
        return [arrays["perturbation"]]
    return [arrays[name] for name in sorted(arrays) if name.startswith("weight_")]
