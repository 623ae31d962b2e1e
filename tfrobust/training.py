"""One training loop, on whatever devices there are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from tfrobust.checkpoints import Checkpoints, Progressed
from tfrobust.classifier import Classifier, Trainable
from tfrobust.devices import StrategyName, choose_strategy
from tfrobust.errors import ClassifierError, StoreError
from tfrobust.keras_models import keras_of
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario, check_fits, readable
from tfrobust.training_data import TrainingData
from tfrobust.training_steps import Loss, Perturb, Steps, cross_entropy

Report = Callable[[str, int, int], None]  # what, steps done, steps in all


@plugin
class TrainingOptions:
    """How a model is trained; recorded in its card."""

    epochs: int = option("passes over the training images; 0: none", default=10, ge=0)
    batch_size: int | None = option(
        "images a step, over all devices; none: 128, fewer where an epoch had under 40 steps",
        default=None,
        ge=1,
    )
    optimizer: Literal["adam", "sgd"] = option("adam, or sgd with momentum 0.9", default="adam")
    learning_rate: float = option("of the first step", default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "step", "quarters", "epoch"] = option(
        "of the learning rate: cosine to zero, ÷ 10 after 1/2 and 3/4 of the steps, ÷ 2, 4 and 10 "
        "after each quarter, or ÷ `decay` after every epoch",
        default="constant",
    )
    decay: float = option("divides the learning rate; of the schedule `epoch`", default=10, ge=1)
    weight_decay: float = option("decoupled, a step", default=0.0, ge=0)
    validation: float = option("share of the training images held out", default=0.1, ge=0, lt=1)
    patience: int | None = option(
        "stop after so many epochs without a better one", default=None, ge=1
    )
    target: float | None = option(
        "stop after an epoch of this validation accuracy", default=None, gt=0, le=1
    )
    seed: int = option("decides everything random", default=0, ge=0, lt=2**31)
    strategy: StrategyName = option("of tf.distribute: auto takes all GPUs", default="auto")


@dataclasses.dataclass
class Trainer:
    """Trains Keras classifiers; defences are handed one.

    Attributes:
        options: epochs, batch size, learning rate, …
        workspace: where checkpoints go; `None` keeps none.
        resume: go on from the workspace's checkpoint, if it has one.
        tensorboard: folder for TensorBoard's logs, or `None`.
        callbacks: Keras callbacks of the model's Keras generation. What they remember is in no
            checkpoint: after a resume they start anew.
        report: told how far the training is.
        strategy: of tf.distribute; chosen by the options unless given.

    Example:
        >>> trainer = Trainer(TrainingOptions(epochs=5))
        >>> history = trainer.fit(classifier, create("scenarios", "digits"))
        >>> history[-1]["val_accuracy"]
    """

    options: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    workspace: Path | None = None
    resume: bool = False
    tensorboard: Path | None = None
    callbacks: Sequence[Any] = ()
    report: Report | None = None
    strategy: Any = None
    _stages: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.strategy = self.strategy or choose_strategy(self.options.strategy)

    def altered(self, **options: Any) -> Trainer:
        """Return a trainer with other options for a defence's own training, the next stage."""
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **options))

    def fit(
        self,
        classifier: Classifier,
        scenario: Scenario,
        *,
        perturb: Perturb | None = None,
        loss: Loss = cross_entropy,
    ) -> list[dict[str, float]]:
        """Train in place, and leave the weights of the best epoch.

        The best epoch has the highest validation accuracy, on perturbed images where `perturb` is
        given; without validation images it is the last one. An interrupted run that is resumed
        ends at the same weights as one that was not.

        Args:
            classifier: a `Trainable`; its model made inside `self.strategy.scope()`.
            scenario: its `train` split; `validation` too where it has one.
            perturb: `(classifier, images, labels, seeds) -> images`, traced: what each step
                trains on instead of the clean images.
            loss: `(labels, logits) -> (batch,)`, to lower; cross-entropy by default.

        Returns:
            One dict an epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.

        Raises:
            ClassifierError: nothing that can be trained, or the loss became NaN.
        """
        model = _trained_model(classifier)
        check_fits(classifier, scenario, "the model")
        data = TrainingData(scenario, self.options)
        optimizer = self._optimizer(model, data.steps)
        steps = Steps(classifier, optimizer, self.strategy, perturb, loss)
        kept = Checkpoints(self._next_stage(), model, optimizer)
        progress = kept.restore() if self.resume else Progressed()
        callbacks = self._callback_list(model, optimizer)
        callbacks.on_train_begin()
        while not self._finished(progress):
            epoch = len(progress.history)
            callbacks.on_epoch_begin(epoch)
            logs = self._epoch(epoch, steps, data, callbacks)
            logs["learning_rate"] = float(_value(optimizer.learning_rate))
            self._log(epoch, logs)
            callbacks.on_epoch_end(epoch, logs)
            progress = kept.advance(progress, logs, stop=bool(model.stop_training))
            kept.save(progress)
        callbacks.on_train_end()
        model.optimizer = None
        kept.take_best()
        return progress.history

    def _epoch(self, epoch: int, steps: Steps, data: TrainingData, callbacks: Any) -> dict:
        seed = data.seed_of(epoch)
        totals = steps.totals()
        what = f"epoch {epoch + 1}/{self.options.epochs}"
        for number, batch in enumerate(readable(steps.distribute(data.epoch(epoch)))):
            callbacks.on_train_batch_begin(number)
            totals.add(steps.train(*batch, seed))
            callbacks.on_train_batch_end(number)
            if self.report:
                self.report(what, number + 1, data.steps)
        logs = totals.means()
        if logs["loss"] != logs["loss"]:  # NaN
            raise ClassifierError(
                f"the loss became NaN in epoch {epoch + 1}; lower the learning rate "
                f"(received: {self.options.learning_rate})"
            )
        if data.validation is not None:
            totals = steps.totals()
            for batch in readable(steps.distribute(data.validation)):
                totals.add(steps.validate(*batch, seed))
            logs |= {f"val_{key}": value for key, value in totals.means().items()}
        return logs

    def _finished(self, progress: Progressed) -> bool:
        options, history = self.options, progress.history
        waited = len(history) - 1 - progress.best_epoch
        reached = history[-1].get("val_accuracy", 0.0) if history else 0.0
        return (
            progress.stopped
            or len(history) >= options.epochs
            or (options.patience is not None and bool(history) and waited >= options.patience)
            or (options.target is not None and reached >= options.target)
        )

    def _next_stage(self) -> Path | None:
        """Return the checkpoint folder of this call to `fit`: a defence may train again."""
        stage = next(self._stages)
        return self.workspace / f"stage-{stage}" if self.workspace else None

    def _optimizer(self, model: Any, steps_an_epoch: int) -> Any:
        keras, options = keras_of(model), self.options
        rate = _schedule(keras, options, steps_an_epoch)
        decay = {"weight_decay": options.weight_decay} if options.weight_decay else {}
        with self.strategy.scope():
            if options.optimizer == "sgd":
                made = keras.optimizers.SGD(rate, momentum=0.9, **decay)
            else:
                made = keras.optimizers.Adam(rate, **decay)
            made.build(model.trainable_variables)
        return made

    def _callback_list(self, model: Any, optimizer: Any) -> Any:
        model.stop_training = False
        model.optimizer = optimizer  # schedulers look for it there
        return keras_of(model).callbacks.CallbackList(list(self.callbacks), model=model)

    def _log(self, epoch: int, logs: dict[str, float]) -> None:
        if self.tensorboard is None:
            return
        try:
            writer = tf.summary.create_file_writer(str(self.tensorboard))
            with writer.as_default(step=epoch):
                for key, value in logs.items():
                    tf.summary.scalar(key, value)
            writer.close()
        except tf.errors.OpError as error:
            raise StoreError(f"cannot write {self.tensorboard}: {error.message}") from error


def _trained_model(classifier: Classifier) -> Any:
    if not isinstance(classifier, Trainable):
        raise ClassifierError(
            f"only Keras classifiers can be trained; received: {type(classifier).__name__}"
        )
    return classifier.model


def _schedule(keras: Any, options: TrainingOptions, epoch: int) -> Any:
    """Return the learning rate, or Keras's schedule of it; `epoch` in steps."""
    rate, schedules = options.learning_rate, keras.optimizers.schedules
    total = max(epoch * options.epochs, 1)
    if options.schedule == "cosine":
        return schedules.CosineDecay(rate, total)
    if options.schedule == "step":
        return schedules.PiecewiseConstantDecay(
            [total // 2, total * 3 // 4], [rate, rate / 10, rate / 100]
        )
    if options.schedule == "quarters":
        return schedules.PiecewiseConstantDecay(
            [total // 4, total // 2, total * 3 // 4], [rate, rate / 2, rate / 4, rate / 10]
        )
    if options.schedule == "epoch" and options.epochs > 1:
        later = range(1, options.epochs)
        return schedules.PiecewiseConstantDecay(
            [number * epoch for number in later],
            [rate, *(rate / options.decay**number for number in later)],
        )
    return rate


def _value(rate: Any) -> Any:
    return rate.numpy() if hasattr(rate, "numpy") else rate
