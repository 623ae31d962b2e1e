"""One step of training or validation, traced once, on every replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.keras_models import raw
from tfrobust.random import numbered_seeds

Perturb = Callable[[Classifier, Any, Any, Any], Any]
Loss = Callable[[Any, Any], Any]  # labels, logits → (batch,)


class Steps:
    """The traced steps of one training.

    `train` and `validate` take `(images, labels, index, seed)` and return the sums of loss and
    right answers and the number of images, over all replicas.
    """

    def __init__(
        self,
        classifier: Any,
        optimizer: Any,
        strategy: Any,
        perturb: Perturb | None,
        loss: Loss,
    ) -> None:
        self._classifier, self._model, self._optimizer = classifier, classifier.model, optimizer
        self._strategy, self._perturb, self._loss = strategy, perturb, loss
        self.train = self._traced(self._train_replica)
        self.validate = self._traced(self._validate_replica)

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Return the batches, split among the replicas."""
        if self._strategy.num_replicas_in_sync == 1:
            return batches
        return self._strategy.experimental_distribute_dataset(batches)

    @staticmethod
    def totals() -> Totals:
        """Return empty sums."""
        return Totals()

    def _traced(self, replica: Callable[..., Any]) -> Callable[..., Any]:
        @tf.function(reduce_retracing=True)
        def step(images: Any, labels: Any, index: Any, seed: Any) -> Any:
            sums = self._strategy.run(replica, (images, labels, index, seed))
            return self._strategy.reduce("SUM", sums, axis=None)

        return step

    def _train_replica(self, images: Any, labels: Any, index: Any, seed: Any) -> Any:
        images = self._perturbed(images, labels, index, seed)
        replicas = self._strategy.num_replicas_in_sync
        share = tf.cast(tf.size(labels) * replicas, tf.float32)
        with tf.GradientTape() as tape:
            logits = self._classifier.logits_in_training(images)
            losses = self._loss(labels, logits)
            penalty = tf.add_n(self._model.losses) if self._model.losses else 0.0
            loss = tf.reduce_sum(losses) / share + penalty / replicas
        weights = [raw(variable) for variable in self._model.trainable_variables]
        gradients = tape.gradient(loss, weights)
        self._optimizer.apply_gradients(
            zip(gradients, self._model.trainable_variables, strict=True)
        )
        return _sums(losses, logits, labels)

    def _validate_replica(self, images: Any, labels: Any, index: Any, seed: Any) -> Any:
        logits = self._classifier(self._perturbed(images, labels, index, seed))
        return _sums(self._loss(labels, logits), logits, labels)

    def _perturbed(self, images: Any, labels: Any, index: Any, seed: Any) -> Any:
        if self._perturb is None:
            return images
        seeds = numbered_seeds(seed, index)
        return tf.stop_gradient(self._perturb(self._classifier, images, labels, seeds))


class Totals:
    """Sums over the batches of an epoch; stays on the device until it is asked."""

    def __init__(self) -> None:
        self._sums: Any = None

    def add(self, sums: Any) -> None:
        """Add `(loss, right, images)` of one batch."""
        self._sums = sums if self._sums is None else self._sums + sums

    def means(self) -> dict[str, float]:
        """Return the mean `loss` and `accuracy`."""
        loss, right, images = self._sums.numpy().tolist()
        return {"loss": loss / images, "accuracy": right / images}


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Return −log p(label) of each image, `(batch,)`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _sums(losses: Any, logits: Any, labels: Any) -> Any:
    right = tf.math.count_nonzero(tf.argmax(logits, 1) == labels, dtype=tf.float64)
    loss = tf.reduce_sum(tf.cast(losses, tf.float64))
    return tf.stack([loss, right, tf.cast(tf.size(labels), tf.float64)])
