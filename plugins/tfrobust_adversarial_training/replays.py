"""Steps that train on a batch several times, and carry a perturbation from one to the next.

x + δ is trained on; the backward pass that moves the weights gives the gradient by δ as well, and
δ moves by it: an attack at no extra cost.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.training.steps import Steps
from tfrobust.training.task import Perturb, TrainingTask
from tfrobust.training.totals import sums
from tfrobust.types import Images, Labels, Seed

Move = Callable[[Any, Any], Any]  # perturbation, gradient → perturbation


def replayed(times: int, move: Move, *, validate_on: Perturb | None = None) -> TrainingTask:
    """Return the task of a training that replays each batch while a perturbation moves.

    Args:
        times: steps a batch.
        move: `(perturbation, gradient) -> perturbation`, each `(batch, height, width, channels)`,
            traced: where the perturbation goes next.
        validate_on: perturbs the validation images.
    """
    steps = functools.partial(ReplayedSteps, move=move)
    return TrainingTask(repeats=times, steps=steps, validate_on=validate_on)


class ReplayedSteps(Steps):
    """Traced steps, each one pass for weights and perturbation.

    The perturbation starts at zero. It belongs to a place in the batch, and so the next batch
    starts from where this one ends. Every replica has its own, and it is kept in checkpoints.

    Args:
        *given: as for `Steps`.
        move: where the perturbation goes next; see `replayed`.
    """

    def __init__(self, *given: Any, move: Move) -> None:
        super().__init__(*given)
        self._move = move
        rows = math.ceil(self.batch_size / self._strategy.num_replicas_in_sync)
        with self._strategy.scope():
            self._kept = tf.Variable(
                tf.zeros((rows, *self._classifier.image_shape)),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.NONE,
            )

    @property
    def state(self) -> Sequence[Any]:
        """The perturbation of each replica."""
        return self._strategy.experimental_local_results(self._kept)

    def _train_replica(
        self, images: Images, labels: Labels, index: Any, real: Any, seed: Seed
    ) -> Any:
        perturbation = self._kept.read_value()
        with tf.GradientTape() as tape:
            tape.watch(perturbation)
            perturbed = tf.clip_by_value(images + perturbation, 0.0, 1.0)
            losses, logits = self._objective(self._classifier, images, perturbed, labels)
            loss = self._share(losses, real)
        *gradients, slope = tape.gradient(loss, [*self._weights(), perturbation])
        self._apply(gradients)
        self._kept.assign(self._move(perturbation, slope))
        return sums(losses, logits, labels, real)
