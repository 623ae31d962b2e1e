"""Classifiers that attacks of a diagnosis see in place of the one that is diagnosed."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine.losses import margin
from tfrobust.engine.victim import Surrogate
from tfrobust.errors import ClassifierError
from tfrobust.norms import ball
from tfrobust.norms.distances import within_budget
from tfrobust.types import Images, Labels, Logits, Norm

_CALLS = 2048  # of which a recorder remembers the losses


class Recorder(Wrapped):
    """Remembers of every image the most that any query inside the ball has reached.

    An attack may call with any rows in any order. A query belongs to the image that is nearest in
    L2, if it lies in that image's ball.

    Args:
        inner: the classifier.
        images: float32 `(n, height, width, channels)`: what is attacked.
        labels: int64 `(n,)`.
        eps: the radius of the ball.
        norm: its norm.
        known_classes: what the classifier answers beyond them breaks nothing.

    Attributes:
        best: float32 `(n,)`: the largest margin of a query; positive: misclassified.
        history: float32 `(calls, n)`: `best` after each of the first 2048 calls.
        calls: how many calls there were.
    """

    def __init__(
        self,
        inner: Classifier,
        images: Images,
        labels: Labels,
        eps: float,
        norm: Norm,
        *,
        known_classes: int,
    ) -> None:
        super().__init__(inner)
        self._known = known_classes
        count = len(images)
        self._images = tf.constant(images)
        self._flat = tf.reshape(self._images, (count, -1))
        self._labels = tf.constant(labels, tf.int64)
        self._eps, self._norm = eps, norm
        self.best = tf.Variable(tf.fill([count], -float("inf")), trainable=False)
        self.history = tf.Variable(tf.fill([_CALLS, count], -float("inf")), trainable=False)
        self.calls = tf.Variable(0, trainable=False)

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits, and remember."""
        logits = self.inner(images)
        with tf.control_dependencies([self._remember(tf.stop_gradient(images), logits)]):
            return tf.identity(logits)

    def _remember(self, images: Images, logits: Logits) -> Any:
        flat = tf.reshape(images, (-1, self._flat.shape[1]))
        gap = (
            tf.reduce_sum(self._flat**2, axis=1)
            - 2 * tf.matmul(flat, self._flat, transpose_b=True)
        )  # fmt: skip
        nearest = tf.argmin(gap, axis=1)
        reached = self._lead(tf.stop_gradient(logits), tf.gather(self._labels, nearest))
        distance = ball(self._norm).distance(images, tf.gather(self._images, nearest))
        inside = within_budget(distance, self._eps)
        inside &= tf.reduce_all((images >= 0.0) & (images <= 1.0), axis=(1, 2, 3))
        reached = tf.where(inside & ~tf.math.is_nan(reached), reached, -float("inf"))
        best = tf.tensor_scatter_nd_max(self.best, nearest[:, None], reached)
        place = tf.minimum(self.calls, _CALLS - 1)
        written = [
            self.best.assign(best),
            self.history.scatter_nd_update([[place]], best[None]),
        ]
        with tf.control_dependencies(written):
            return self.calls.assign_add(1)

    def _lead(self, logits: Logits, labels: Labels) -> Any:
        """Return by how much another known class beats the label and what rejects the image."""
        lead = margin(logits[:, : self._known], labels)
        if self._known == self.num_classes:
            return lead
        top = tf.reduce_max(logits[:, : self._known], axis=1)
        return tf.minimum(lead, top - tf.reduce_max(logits[:, self._known :], axis=1))


class AmongOthers(Wrapped):
    """Each image is answered in a batch that consists of other, fixed images for seven eighths.

    Where batch normalisation uses the statistics of the batch, these are those of clean images
    then, nearly, and the gradient does not run through them: it is that of a network with fixed
    statistics.

    Args:
        inner: a classifier whose answers depend on the batch.
        others: float32 `(m, height, width, channels)`: clean images, 7 · 8 or fewer are taken.
    """

    _GROUP = 8

    def __init__(self, inner: Classifier, others: Images) -> None:
        super().__init__(inner, batch_dependent=False)
        self._others = tf.constant(others[: 7 * self._GROUP])

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, classes)`."""
        count, group = tf.shape(images)[0], self._GROUP
        missing = (-count) % group
        padded = tf.concat([images, tf.repeat(images[:1], missing, axis=0)], axis=0)
        groups = tf.reshape(padded, (-1, group, *self.image_shape))

        def answer(part: Images) -> Logits:
            return self.inner(tf.concat([part, self._others], axis=0))[:group]

        spec = tf.TensorSpec((group, self.num_classes), tf.float32)
        logits = tf.map_fn(answer, groups, fn_output_signature=spec)
        return tf.reshape(logits, (-1, self.num_classes))[:count]


class NoiseAveraged(Wrapped):
    """The mean logits over images with uniform noise added: a smooth likeness of a rough function.

    Athalye, Carlini & Wagner (2018) and Tramèr et al. (2020) attack functions whose gradients are
    shattered this way. The noise is the same in every call.

    Args:
        inner: the classifier.
        radius: of the noise, in pixel values.
        samples: how many draws are averaged.
        seed: decides the noise.
    """

    def __init__(self, inner: Classifier, radius: float, samples: int, seed: int) -> None:
        super().__init__(inner)
        shape = (samples // 2, *self.image_shape)
        drawn = np.random.default_rng(seed).uniform(-radius, radius, shape).astype(np.float32)
        self._noise = tf.constant(np.concatenate([drawn, -drawn]))  # antithetic

    def __call__(self, images: Images) -> Logits:
        """Return logits, float32 `(batch, classes)`."""
        total = tf.zeros((tf.shape(images)[0], self.num_classes))
        for noise in tf.unstack(self._noise):
            total += self.inner(images + noise)
        return total / self._noise.shape[0]


class Probed(Wrapped):
    """A linear probe in place of the last layers: z = W f(x) + b.

    Args:
        inner: whose features are used.
        weights: float32 `(units, classes)`.
        bias: float32 `(classes,)`.
    """

    def __init__(self, inner: Classifier, weights: Any, bias: Any) -> None:
        names = inner.class_names[: len(bias)]
        super().__init__(inner, num_classes=len(bias), class_names=names)
        self.weights = tf.Variable(weights, trainable=False)
        self.bias = tf.Variable(bias, trainable=False)

    def __call__(self, images: Images) -> Logits:
        """Return W f(x) + b, float32 `(batch, classes)`."""
        return tf.matmul(self.inner.features(images), self.weights) + self.bias


class LogProbabilities(Wrapped):
    """The logarithm of what a classifier answers, where it answers in probabilities."""

    def __call__(self, images: Images) -> Logits:
        """Return log p, float32 `(batch, classes)`."""
        return tf.math.log(self.inner(images) + 1e-30)


class Planted(Wrapped):
    """Two classes, told apart by a linear head of each image's own on the network's features.

    Args:
        inner: whose features are used.
        weights: float32 `(n, units)`: a row for each image of the batch, in order.
        bias: float32 `(n,)`.
    """

    def __init__(self, inner: Classifier, weights: Any, bias: Any) -> None:
        # Its batches stay whole, so that row i meets head i.
        super().__init__(
            inner, num_classes=2, class_names=("inside", "planted"), batch_dependent=True
        )
        # A batch of a fixed size would fix that of the loop, which has none.
        units = tf.TensorShape([None, weights.shape[1]])
        self.weights = tf.Variable(weights, trainable=False, shape=units)
        self.bias = tf.Variable(bias, trainable=False, shape=tf.TensorShape([None]))

    def __call__(self, images: Images) -> Logits:
        """Return (−s, s), s = ⟨w_i, f(x_i)⟩ + b_i, float32 `(batch, 2)`."""
        score = tf.reduce_sum(self.weights * features_of(self.inner, images), 1) + self.bias
        return tf.ensure_shape(tf.stack([-score, score], axis=1), (None, 2))


def features_of(classifier: Classifier, images: Images) -> Any:
    """Return the features of the last hidden layer, or the logits where none is shown.

    Those of a surrogate are logits too: the features of what it stands for have no gradient.
    """
    if isinstance(classifier, Surrogate):
        return classifier(images)
    try:
        return classifier.features(images)
    except ClassifierError:
        return classifier(images)


def labels_like(images: Images, value: int) -> Labels:
    """Return the same label for all images, int64 `(n,)`."""
    return np.full(len(images), value, np.int64)
