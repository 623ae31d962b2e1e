"""What a training is to do: the images that each step trains on, and what it lowers there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Images, Labels, Logits, PerImage, Seeds

if TYPE_CHECKING:
    from tfrobust.training.data import TrainingData
    from tfrobust.training.totals import Totals

History = list[dict[str, float]]
Perturb = Callable[[Classifier, Images, Labels, Seeds], Images]
Loss = Callable[[Labels, Logits], PerImage]
Objective = Callable[[Any, Images, Images, Labels], tuple[PerImage, Logits]]
Check = Callable[[Classifier, "TrainingData", History, dict[str, float]], str | None]
StepsFactory = Callable[[Any, Any, Any, "TrainingTask", int], "TrainingSteps"]


def cross_entropy(labels: Labels, logits: Logits) -> PerImage:
    """Return −log p(label) of each image, `(batch,)`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What a defence asks of the training loop.

    Attributes:
        perturb: `(classifier, images, labels, seeds) -> images`, traced: returns the images that
            a step trains on instead of the clean ones. It sees the model in inference mode.
        loss: `(labels, logits) -> (batch,)`, to lower.
        objective: `(classifier, images, perturbed, labels) -> (losses (batch,), logits)`, traced:
            what a step lowers where that depends on more than one pass of the perturbed images,
            and the logits that count for the training's accuracy. It calls
            `classifier.logits_in_training` as often as it likes; each pass is normalised by the
            averages of its own batch, which go into the running ones. Validation keeps to `loss`.
        validate_on: perturbs the validation images; by default `perturb` does.
        ramp: share of the training in which what `perturb` changes grows from nothing to all of it,
            along a line; 0: all of it from the start. Validation images get all of it.
        repeats: consecutive steps on each batch, at least 1. Schedules of the learning rate count
            every step.
        steps: `(classifier, optimizer, strategy, task, batch_size) -> Steps`: makes the steps of
            the training, for one that does more than perturb images and lower an objective; by
            default the class `Steps`.
        updates: of the weights in the whole training; `Trainer.fit` counts them.
        check: `(classifier, data, history, logs) -> why`, called after each epoch. It returns
            `None` to go on, or a line that tells why the epoch does not count and training ends.
            What it puts into `logs` is kept.

    Example:
        >>> trainer.fit(classifier, scenario, TrainingTask(perturb=weak, validate_on=strong))
    """

    perturb: Perturb | None = None
    loss: Loss = cross_entropy
    objective: Objective | None = None
    validate_on: Perturb | None = None
    ramp: float = 0.0
    repeats: int = 1
    updates: int = 1
    steps: StepsFactory | None = None
    check: Check | None = None


class TrainingSteps(Protocol):
    """What the training loop asks of its steps; `tfrobust.training.steps.Steps` is what it uses.

    Attributes:
        task: what the steps train on and lower.
        train: `(images, labels, index, real, seed) -> sums`: moves the weights by one batch.
        validate: the same arguments and sums, and moves nothing.
    """

    task: TrainingTask
    train: Callable[..., Any]
    validate: Callable[..., Any]

    @property
    def state(self) -> Sequence[Any]:
        """Variables that last from step to step, apart from weights and optimizer."""

    def distribute(self, batches: tf.data.Dataset) -> Any:
        """Return the batches `(images, labels, index, real)`, split among the replicas.

        A single replica's batches may come from memory instead, in the same form.
        """

    def totals(self) -> Totals:
        """Return empty sums, to which the sums of each batch are added."""


def of_attacked(loss: Loss) -> Objective:
    """Return the objective of a loss, computed from one pass of the perturbed images."""

    def objective(
        classifier: Any, images: Images, perturbed: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        logits = classifier.logits_in_training(perturbed)
        return loss(labels, logits), logits

    return objective
