"""One step of training or validation, traced once, on every replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.classifiers.keras.models import raw
from tfrobust.random import numbered_seeds
from tfrobust.training.task import Perturb, TrainingTask, of_attacked
from tfrobust.training.totals import Totals, sums
from tfrobust.training.workers import workers_of
from tfrobust.types import KerasModel


class Steps:
    """The traced steps of one training.

    `train` and `validate` take a batch of `distribute` and a seed, `(images, labels, index, real,
    seed)`. They return the sums of loss and right answers and the number of images, over all
    replicas.

    Args:
        classifier: a `Trainable`.
        optimizer: built for its model.
        strategy: of tf.distribute.
        task: what the steps train on and lower.
        batch_size: images a step, over all replicas.
    """

    def __init__(
        self, classifier: Any, optimizer: Any, strategy: Any, task: TrainingTask, batch_size: int
    ) -> None:
        self.task, self.batch_size = task, batch_size
        self._classifier, self._model, self._optimizer = classifier, classifier.model, optimizer
        self._strategy, self._workers = strategy, workers_of(strategy)
        self._objective = task.objective or of_attacked(task.loss)
        self._validate_on = task.validate_on or task.perturb
        several = strategy.num_replicas_in_sync > 1
        self.train = self._traced(self._train_together if several else self._train_replica)
        self.validate = self._traced(self._validate_replica)

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Return the batches `(images, labels, index, real)`, split among the replicas.

        All replicas get the same number of images. Where a batch does not divide, its first images
        are repeated at its end; `real` is 0 for the repeated ones, which do not count, and 1 for
        all others. So no replica gets an empty share, which no convolution could take.
        """
        replicas = self._strategy.num_replicas_in_sync
        filled = batches.map(lambda *batch: _filled_up(batch, replicas))
        return self._workers.split(filled, self._strategy)

    @staticmethod
    def totals() -> Totals:
        """Return empty sums."""
        return Totals()

    def _traced(self, replica: Callable[..., Any]) -> Callable[..., Any]:
        @tf.function(reduce_retracing=True)
        def step(images: Any, labels: Any, index: Any, real: Any, seed: Any) -> Any:
            sums = self._strategy.run(replica, (images, labels, index, real, seed))
            return self._strategy.reduce("SUM", sums, axis=None)

        return step

    @property
    def state(self) -> Sequence[Any]:
        """Variables that last from step to step, apart from weights and optimizer."""
        return ()

    def progress(self) -> Any:
        """Return how far the training is, a scalar from 0 to 1.

        It counts the optimizer's updates, which checkpoints keep.
        """
        done = tf.cast(raw(self._optimizer.iterations), tf.float32)
        return tf.minimum(done / float(self.task.updates), 1.0)

    def _grown(self, images: Any, perturbed: Any) -> Any:
        """Return the images with as much of their change as the training has come to."""
        if not self.task.ramp:
            return perturbed
        grown = tf.minimum(self.progress() / self.task.ramp, 1.0)
        return images + grown * (perturbed - images)

    def _train_together(self, *batch: Any) -> Any:
        """Train a replica, and give all of them the mean of what their running averages moved by.

        Those of Keras 3 are each replica's own otherwise, and an attack on the network in inference
        mode, and what is stored, are those of a part of the images.
        """
        averages = _running_averages(self._model)
        before = [tf.identity(average) for average in averages]
        sums = self._train_replica(*batch)
        if averages:
            moved = [now - then for now, then in zip(averages, before, strict=True)]
            together = tf.distribute.get_replica_context().all_reduce("MEAN", moved)
            for average, then, move in zip(averages, before, together, strict=True):
                average.assign(then + move)
        return sums

    def _train_replica(self, images: Any, labels: Any, index: Any, real: Any, seed: Any) -> Any:
        whole = self._perturbed(self.task.perturb, images, labels, index, seed)
        perturbed = self._grown(images, whole)
        with tf.GradientTape() as tape:
            losses, logits = self._objective(self._classifier, images, perturbed, labels)
            loss = self._share(losses, real)
        self._apply(tape.gradient(loss, self._weights()))
        return sums(losses, logits, labels, real)

    def _share(self, losses: Any, real: Any) -> Any:
        """Return this replica's part of the mean loss, with the model's penalties.

        The mean is taken over the images of all replicas: a mean of each replica's own mean would
        weigh the images of a small share more.
        """
        replicas = self._strategy.num_replicas_in_sync
        penalty = tf.add_n(self._model.losses) if self._model.losses else 0.0
        images = tf.reduce_sum(real)
        if replicas > 1:
            images = tf.distribute.get_replica_context().all_reduce("SUM", images)
        return tf.reduce_sum(losses * real) / images + penalty / replicas

    def _weights(self) -> list[Any]:
        return [raw(variable) for variable in self._model.trainable_variables]

    def _apply(self, gradients: Sequence[Any]) -> None:
        self._optimizer.apply_gradients(
            zip(gradients, self._model.trainable_variables, strict=True)
        )

    def _validate_replica(self, images: Any, labels: Any, index: Any, real: Any, seed: Any) -> Any:
        logits = self._classifier(self._perturbed(self._validate_on, images, labels, index, seed))
        return sums(self.task.loss(labels, logits), logits, labels, real)

    def _perturbed(
        self, perturb: Perturb | None, images: Any, labels: Any, index: Any, seed: Any
    ) -> Any:
        if perturb is None:
            return images
        seeds = numbered_seeds(seed, index)
        return tf.stop_gradient(perturb(self._classifier, images, labels, seeds))


def _running_averages(model: KerasModel) -> list[Any]:
    """Return the variables that a model moves in training, apart from its weights and seeds.

    Those that tf.distribute averages by itself, such as Keras 2's, are not among them.
    """
    variables = [raw(variable) for variable in model.non_trainable_variables]
    return [
        variable
        for variable in variables
        if variable.dtype.is_floating
        and variable.aggregation == tf.VariableAggregation.NONE
        and variable.synchronization != tf.VariableSynchronization.ON_READ
    ]


def _filled_up(batch: Sequence[Any], replicas: int) -> tuple[Any, ...]:
    """Return a batch, filled up with images of its own until it divides, and which are real."""
    count = tf.shape(batch[0])[0]
    if replicas == 1:
        return *batch, tf.ones((count,))
    places = tf.range(-(-count // replicas) * replicas)
    again = (tf.gather(values, places % count) for values in batch)
    return *again, tf.cast(places < count, tf.float32)
