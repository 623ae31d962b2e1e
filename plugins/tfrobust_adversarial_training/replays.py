"""Steps that train on a batch several times, and carry a perturbation from one to the next.

x + δ is trained on; the backward pass that moves the weights gives the gradient by δ as well, and
δ moves by it: an attack for the price of none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.training.steps import Perturb, Steps, sums
from tfrobust.types import Images, Labels, Seed


@dataclasses.dataclass(frozen=True)
class Replays:
    """How often a batch is trained on, and how its perturbation moves.

    Attributes:
        times: steps a batch.
        step: `(perturbation, gradient) -> perturbation`, each `(batch, height, width, channels)`,
            traced: where the perturbation goes next.
    """

    times: int
    step: Callable[[Any, Any], Any]


class ReplayedSteps(Steps):
    """Traced steps, each one pass for weights and perturbation.

    The perturbation starts at zero. It belongs to a place in the batch, and so the next batch
    starts from where this one ends. Every replica has its own, and it is kept in checkpoints.

    Args:
        *given: as for `Steps`.
        validate_on: as for `Steps`.
        replays: how often, and how it moves.
        batch_size: images a step, over all replicas.
    """

    def __init__(
        self, *given: Any, validate_on: Perturb | None, replays: Replays, batch_size: int
    ) -> None:
        super().__init__(*given, validate_on=validate_on)
        self.replays = replays.times
        self._step = replays.step
        rows = math.ceil(batch_size / self._strategy.num_replicas_in_sync)
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
            seen = tf.clip_by_value(images + perturbation, 0.0, 1.0)
            losses, logits = self._objective(self._classifier, images, seen, labels)
            loss = self._share(losses, real)
        *gradients, slope = tape.gradient(loss, [*self._weights(), perturbation])
        self._apply(gradients)
        self._kept.assign(self._step(perturbation, slope))
        return sums(losses, logits, labels, real)
