"""One training loop, on whatever devices there are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from tfrobust.classifier import Classifier, Trainable
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.errors import ClassifierError, StoreError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario, check_fits, readable
from tfrobust.training.checkpoints import Checkpoints, Progressed
from tfrobust.training.data import TrainingData
from tfrobust.training.devices import StrategyName, choose_strategy
from tfrobust.training.optimizers import optimizer_for, rate_used
from tfrobust.training.steps import Loss, Objective, Perturb, Steps, cross_entropy
from tfrobust_adversarial_training.replays import ReplayedSteps, Replays

Report = Callable[[str, int, int], None]  # what, steps done, steps in all
History = list[dict[str, float]]
Check = Callable[[Classifier, TrainingData, History, dict[str, float]], str | None]


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
        tensorboard: folder for TensorBoard's logs, or `None`. Each call to `fit` is a run of its
            own there, `stage-1`, `stage-2`, …: a defence may train several times.
        callbacks: Keras callbacks of the model's Keras generation. What they remember is in no
            checkpoint: after a resume they start anew.
        report: told how far the training is.
        say: told in one line what a user should know of the training.
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
    say: Callable[[str], None] = lambda _: None
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
        objective: Objective | None = None,
        validate_on: Perturb | None = None,
        replays: Replays | None = None,
        check: Check | None = None,
    ) -> History:
        """Train in place, and leave the weights of the best epoch.

        The classifier's `megabytes` are forgotten: weights that move are not compressed any more.

        The best epoch has the highest validation accuracy, on perturbed images where `perturb` or
        `validate_on` is given; without validation images it is the last one. An interrupted run
        that is resumed ends at the same weights as one that was not.

        Args:
            classifier: a `Trainable`; its model made inside `self.strategy.scope()`.
            scenario: its `train` split; `validation` too where it has one.
            perturb: `(classifier, images, labels, seeds) -> images`, traced: what each step
                trains on instead of the clean images. It sees the model in inference mode.
            loss: `(labels, logits) -> (batch,)`, to lower; cross-entropy by default.
            objective: `(classifier, images, perturbed, labels) -> (losses (batch,), logits)`,
                traced: what a step lowers where that depends on more than one pass of the
                perturbed images, and the logits that the training's accuracy is counted on. It
                calls `classifier.logits_in_training`, as often as it likes; each pass normalises
                by the averages of its own batch and goes into the running ones. Validation
                stays with `loss`.
            validate_on: what validation images are perturbed by; by default `perturb`.
            replays: train on each batch several times, with a perturbation that the same
                backward pass moves; instead of `perturb` and `objective`.
            check: `(classifier, data, history, logs) -> why`, called after each epoch: a line
                that tells why the epoch does not count and the training ends with it; `None` to
                go on. What it puts into `logs` is kept.

        Returns:
            One dict an epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, and the
            `learning_rate` of the epoch's last update.

        Raises:
            ClassifierError: nothing that can be trained, or the loss became NaN.
        """
        model = _trained_model(classifier)
        classifier.weights_changed()
        check_fits(classifier, scenario, "the model")
        data = TrainingData(scenario, self.options)
        with self.strategy.scope():
            updates = data.steps * (replays.times if replays else 1)
            optimizer = optimizer_for(model, self.options, updates)
        given = classifier, optimizer, self.strategy, perturb, loss
        if replays:
            steps: Steps = ReplayedSteps(
                *given, validate_on=validate_on, replays=replays, batch_size=data.batch_size
            )
        else:
            steps = Steps(*given, objective=objective, validate_on=validate_on)
        stage = f"stage-{next(self._stages)}"  # a defence may train again
        folder = self.workspace / stage if self.workspace else None
        kept = Checkpoints(folder, model, optimizer, steps.state)
        progress = kept.restore() if self.resume else Progressed()
        callbacks = self._callback_list(model, optimizer)
        callbacks.on_train_begin()
        while not self._finished(progress):
            epoch = len(progress.history)
            callbacks.on_epoch_begin(epoch)
            logs = self._epoch(epoch, steps, data, optimizer, callbacks)
            void = check(classifier, data, progress.history, logs) if check else None
            self._log(epoch, logs, stage)
            callbacks.on_epoch_end(epoch, logs)
            stop = bool(model.stop_training) or void is not None
            progress = kept.advance(progress, logs, stop=stop, counts=void is None)
            kept.save(progress)
            if void is not None:
                self.say(f"{void}; training ends, with the weights of epoch {progress.best}")
        callbacks.on_train_end()
        model.optimizer = None
        kept.take_best()
        return progress.history

    def _epoch(
        self, epoch: int, steps: Steps, data: TrainingData, optimizer: Any, callbacks: Any
    ) -> dict[str, float]:
        seed, rate = data.seed_of(epoch), 0.0
        totals = steps.totals()
        what = f"epoch {epoch + 1}/{self.options.epochs}"
        for number, batch in enumerate(readable(steps.distribute(data.epoch(epoch)))):
            callbacks.on_train_batch_begin(number)
            for _ in range(steps.replays):
                totals.add(steps.train(*batch, seed))
            if number + 1 == data.steps:
                rate = rate_used(optimizer)  # a callback may change it now
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
        return logs | {"learning_rate": rate}

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

    def _callback_list(self, model: Any, optimizer: Any) -> Any:
        model.stop_training = False
        model.optimizer = optimizer  # schedulers look for it there
        return keras_of(model).callbacks.CallbackList(list(self.callbacks), model=model)

    def _log(self, epoch: int, logs: dict[str, float], stage: str) -> None:
        if self.tensorboard is None:
            return
        try:
            writer = tf.summary.create_file_writer(str(self.tensorboard / stage))
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
