"""Classifiers that look robust and are not, each for a known reason.

A diagnosis has to name the reason. They are small wrappers around any classifier; what is a defence
of its own is a plugin.

Example:
    >>> from tfrobust.diagnosis import DiagnosisSettings, diagnose
    >>> masked = ShortGradient(classifier)
    >>> diagnose(masked, scenario, DiagnosisSettings(eps=0.1)).causes
    ['gradients of another size']
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.types import Images, Logits


class NoiseGradient(Wrapped):
    """Its gradient is replaced by noise, the same in every call."""

    def __init__(self, inner: Classifier, seed: int = 0) -> None:
        super().__init__(inner)
        self._seed = seed

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits."""

        @tf.custom_gradient
        def replaced(images: Images) -> Any:
            noise = tf.random.stateless_normal(tf.shape(images), (self._seed, 1))
            return tf.identity(images), lambda upstream: noise * _length(upstream)

        return self.inner(replaced(images))


def _length(gradient: Images) -> Any:
    return tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2, 3), keepdims=True))


class ShortGradient(Wrapped):
    """Its gradient is divided by a million."""

    def __init__(self, inner: Classifier, by: float = 1e6) -> None:
        super().__init__(inner)
        self._by = by

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits."""
        shortened = images / self._by
        return self.inner(shortened + tf.stop_gradient(images - shortened))


class SoftmaxAnswers(Wrapped):
    """It answers in probabilities, which are zero and one where the logits are large.

    Args:
        inner: the classifier.
        scale: what its logits are multiplied by; a network distilled at temperature T has logits
            about T times as large (Papernot et al. 2016).
    """

    def __init__(self, inner: Classifier, scale: float = 1.0) -> None:
        super().__init__(inner)
        self._scale = scale

    def __call__(self, images: Images) -> Logits:
        """Return probabilities, float32 `(batch, classes)`."""
        return tf.nn.softmax(self._scale * self.inner(images))


class LargeLogits(Wrapped):
    """Its logits are so large that the probabilities are zero and one; see `SoftmaxAnswers`."""

    def __init__(self, inner: Classifier, scale: float = 100.0) -> None:
        super().__init__(inner)
        self._scale = scale

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits, multiplied."""
        return self._scale * self.inner(images)


class RoundedInputs(Wrapped):
    """It sees images of a few levels, and rounding has no gradient (Xu et al. 2018).

    Args:
        inner: the classifier.
        levels: how many.
    """

    def __init__(self, inner: Classifier, levels: int = 8) -> None:
        super().__init__(inner)
        self._levels = levels

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits of the rounded images."""
        steps = self._levels - 1
        return self.inner(tf.round(steps * images) / steps)


class Purified(Wrapped):
    """It moves each image towards an answer it is surer of, and shows no gradient of the way.

    Defences that optimise at inference do so, such as by a denoiser (Tramèr et al. 2020, sections
    6 and 12): what the classifier inside is shown is found by steps that nothing differentiates.

    Args:
        inner: the classifier.
        step: length of a step, in pixel values.
        steps: how many.
    """

    def __init__(self, inner: Classifier, step: float = 0.02, steps: int = 5) -> None:
        super().__init__(inner)
        self._step, self._steps = step, steps

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits of the moved images."""
        moved = tf.stop_gradient(images)
        for _ in range(self._steps):
            with tf.GradientTape() as tape:
                tape.watch(moved)
                surest = tf.reduce_max(tf.nn.log_softmax(self.inner(moved)), axis=1)
            moved += self._step * tf.sign(tape.gradient(surest, moved))
            moved = tf.clip_by_value(moved, 0.0, 1.0)
        return self.inner(tf.stop_gradient(moved))


class NoiseBehindFeatures(Wrapped):
    """Its features have gradients; between them and the logits the gradient is noise."""

    def __init__(self, inner: Classifier, seed: int = 0) -> None:
        super().__init__(inner)
        self._seed = seed

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits."""

        @tf.custom_gradient
        def replaced(logits: Logits) -> Any:
            noise = tf.random.stateless_normal(tf.shape(logits), (self._seed, 2))
            return tf.identity(logits), lambda upstream: noise + 0.0 * upstream

        return replaced(self.inner(images))


class UndeclaredDraws(Wrapped):
    """It shifts each image at random, and does not say that it is random."""

    def __init__(self, inner: Classifier, pixels: int = 1) -> None:
        super().__init__(inner, stochastic=False)
        self._pixels = pixels

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits of shifted and dimmed images."""
        shift = tf.random.uniform((2,), -self._pixels, self._pixels + 1, tf.int32)
        dimmed = images * tf.random.uniform((tf.shape(images)[0], 1, 1, 1), 0.7, 1.0)
        return self.inner(tf.roll(dimmed, shift, axis=[1, 2]))


class InTrainingMode(Wrapped):
    """Its network is called in training mode: batch normalisation uses the batch's statistics."""

    def __init__(self, inner: Classifier) -> None:
        super().__init__(inner)
        self.network = inner.model

    def __call__(self, images: Images) -> Logits:
        """Return the network's logits in training mode; no statistics are updated."""
        before = [tf.identity(variable) for variable in self._statistics]
        logits = self.network(images, training=True)
        with tf.control_dependencies([logits]):
            kept = [
                variable.assign(value)
                for variable, value in zip(self._statistics, before, strict=True)
            ]
        with tf.control_dependencies(kept):
            return tf.identity(logits)

    @property
    def _statistics(self) -> list[Any]:
        return [variable.value for variable in self.network.non_trainable_variables]


class BrokenMember(Wrapped):
    """The mean of several classifiers, of which the first gives no gradient.

    Args:
        members: two or more; the first weighs most.
        weight: of the first.
    """

    def __init__(self, members: Sequence[Classifier], weight: float = 5.0) -> None:
        super().__init__(members[0])
        self.others = list(members[1:])
        self._weight = weight

    def __call__(self, images: Images) -> Logits:
        """Return the weighted mean of the logits."""
        first = tf.stop_gradient(self._weight * self.inner(tf.stop_gradient(images)))
        total = tf.add_n([first, *(member(images) for member in self.others)])
        return total / (self._weight + len(self.others))


class Rejecting(Wrapped):
    """It has a class more, for images that lie far from all that it was trained on.

    The score is the distance of the features to the nearest class mean, in units of the typical
    distance of clean images.

    Args:
        inner: the classifier.
        clean: float32 `(n, height, width, channels)`: images that are not to be rejected.
        labels: int64 `(n,)`.
        share: how many of them are rejected nevertheless.
    """

    def __init__(self, inner: Classifier, clean: Images, labels: Any, share: float = 0.05) -> None:
        names = (*inner.class_names, "rejected")
        super().__init__(inner, num_classes=inner.num_classes + 1, class_names=names)
        features = inner.features(tf.constant(clean))
        means = [
            tf.reduce_mean(tf.boolean_mask(features, labels == k), axis=0)
            for k in range(inner.num_classes)
        ]
        self.means = tf.Variable(tf.stack(means), trainable=False)
        distances = tf.sort(self._distance(features))
        place = int((1 - share) * (len(clean) - 1))
        self.most = tf.Variable(distances[place], trainable=False)

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, classes + 1)`: the last one is that of rejection."""
        logits = self.inner(images)
        top = tf.reduce_max(logits, axis=1)
        excess = self._distance(self.inner.features(images)) / self.most - 1.0
        return tf.concat([logits, (top + 20.0 * excess)[:, None]], axis=1)

    def _distance(self, features: Any) -> Any:
        apart = features[:, None] - self.means[None]
        return tf.sqrt(tf.reduce_min(tf.reduce_sum(apart**2, axis=2), axis=1) + 1e-12)
