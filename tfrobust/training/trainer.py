"""One training loop, on whatever devices there are."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier, Trainable
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.data.reading import check_fits, readable
from tfrobust.errors import ClassifierError
from tfrobust.scenario import Scenario
from tfrobust.training.checkpoints import Checkpoints, Progressed
from tfrobust.training.data import TrainingData
from tfrobust.training.devices import choose_strategy
from tfrobust.training.epoch_lines import epoch_line
from tfrobust.training.optimizers import optimizer_for, rate_used
from tfrobust.training.options import TrainingOptions
from tfrobust.training.steps import Steps
from tfrobust.training.task import History, Loss, Perturb, TrainingSteps, TrainingTask
from tfrobust.training.workers import Workers, workers_of

Report = Callable[[str, int, int], None]  # what, steps done, steps in all
OnEpoch = Callable[[str, int, Mapping[str, float]], None]  # stage, epoch, figures


@dataclasses.dataclass
class Trainer:
    """Trains Keras classifiers; defences are handed one.

    Attributes:
        options: epochs, batch size, learning rate, …
        workspace: where checkpoints go; `None` keeps none.
        resume: go on from the workspace's checkpoint, if it has one.
        on_epoch: is called after each epoch with stage, epoch from 0 and figures, such as
            `tfrobust.tracking.EpochFigures`. Each call to `fit` is a stage, `stage-1`, `stage-2`,
            …: a defence may train several times.
        callbacks: Keras callbacks of the model's Keras generation. What they remember is in no
            checkpoint: after a resume they start anew.
        report: is called with how far the training is.
        log: is called with a line that a user should know of the training.
        epoch_log: is called with a line after each epoch: loss, accuracy, time.
        strategy: of tf.distribute; chosen by the options unless given.

    Example:
        >>> trainer = Trainer(TrainingOptions(epochs=5))
        >>> history = trainer.fit(classifier, create("scenarios", "digits"))
        >>> history[-1]["val_accuracy"]
    """

    options: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
    workspace: Path | None = None
    resume: bool = False
    on_epoch: OnEpoch | None = None
    callbacks: Sequence[Any] = ()
    report: Report | None = None
    log: Callable[[str], None] = lambda _: None
    epoch_log: Callable[[str], None] = lambda _: None
    strategy: Any = None
    _stages: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.strategy = self.strategy or choose_strategy(self.options.strategy, self.log)
        if not self.workers.chief:
            self.report, self.on_epoch = None, None
            self.log = self.epoch_log = lambda _: None

    @property
    def workers(self) -> Workers:
        """The processes that train together; one alone unless `strategy` is of several."""
        return workers_of(self.strategy)

    def altered(self, **options: Any) -> Trainer:
        """Return a trainer with other options for a defence's own training, the next stage."""
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **options))

    def fit(
        self,
        classifier: Classifier,
        scenario: Scenario,
        task: TrainingTask | None = None,
        *,
        perturb: Perturb | None = None,
        loss: Loss | None = None,
    ) -> History:
        """Train in place; the classifier ends with the weights of the best epoch.

        Its `megabytes` are forgotten: weights that move are not compressed any more.

        The best epoch has the highest validation accuracy, on perturbed images where the task
        perturbs them; without validation images it is the last one. An interrupted run that is
        resumed ends at the same weights as an uninterrupted one.

        Args:
            classifier: a `Trainable`; its model was built inside `self.strategy.scope()`.
            scenario: its `train` split; `validation` too where it has one.
            task: what each step trains on and lowers; by default cross-entropy on clean images.
            perturb: short for a task with this `perturb`.
            loss: short for a task with this `loss`.

        Returns:
            One dict an epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, and the
            `learning_rate` of the epoch's last update.

        Raises:
            ClassifierError: it cannot be trained, or the loss became NaN.

        Example:
            >>> trainer.fit(classifier, scenario, TrainingTask(perturb=weak, validate_on=strong))
        """
        task = _completed(task or TrainingTask(), perturb, loss)
        trainable = _trainable(classifier)
        classifier.weights_changed()
        check_fits(classifier, scenario, "the model")
        data = TrainingData(scenario, self.options)
        an_epoch = data.steps * task.repeats
        task = dataclasses.replace(task, updates=max(1, an_epoch * self.options.epochs))
        with self.strategy.scope():
            optimizer = optimizer_for(trainable.model, self.options, an_epoch)
        make_steps = task.steps or Steps
        steps = make_steps(trainable, optimizer, self.strategy, task, data.batch_size)
        stage = f"stage-{next(self._stages)}"  # a defence may train again
        folder = self.workspace / stage if self.workspace else None
        with self.workers.watched():
            checkpoints = Checkpoints(folder, trainable.model, optimizer, steps.state, self.workers)
            return self._run_epochs(
                classifier, steps, data, optimizer=optimizer, checkpoints=checkpoints, stage=stage
            )

    def _run_epochs(
        self,
        classifier: Any,
        steps: TrainingSteps,
        data: TrainingData,
        *,
        optimizer: Any,
        checkpoints: Checkpoints,
        stage: str,
    ) -> History:
        """Train epoch by epoch; a checkpoint follows each."""
        model, check = classifier.model, steps.task.check
        progress = checkpoints.restore() if self.resume else Progressed()
        callbacks = self._callback_list(model, optimizer)
        callbacks.on_train_begin()
        while not self._finished(progress):
            epoch, began = len(progress.history), time.monotonic()
            callbacks.on_epoch_begin(epoch)
            logs = self._epoch(epoch, steps, data, optimizer, callbacks)
            self._tell(epoch, logs, steps.task, time.monotonic() - began)
            why = check(classifier, data, progress.history, logs) if check else None
            if self.on_epoch:
                self.on_epoch(stage, epoch, logs)
            callbacks.on_epoch_end(epoch, logs)
            stop = bool(model.stop_training) or why is not None
            decided = functools.partial(tuple, (logs, stop, why))
            logs, stop, why = self.workers.on_chief(decided)  # no two workers go on differently
            progress = checkpoints.advance(progress, logs, stop=stop, counts=why is None)
            checkpoints.save(progress)
            if why is not None:
                self.log(f"{why}; training ends, with the weights of epoch {progress.best}")
        callbacks.on_train_end()
        model.optimizer = None
        checkpoints.take_best()
        return progress.history

    def _epoch(
        self, epoch: int, steps: TrainingSteps, data: TrainingData, optimizer: Any, callbacks: Any
    ) -> dict[str, float]:
        seed, rate = data.seed_of(epoch), 0.0
        totals = steps.totals()
        what = f"epoch {epoch + 1}/{self.options.epochs}"
        for number, batch in enumerate(readable(self._batches(epoch, steps, data))):
            callbacks.on_train_batch_begin(number)
            for _ in range(steps.task.repeats):
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

    def _batches(self, epoch: int, steps: TrainingSteps, data: TrainingData) -> Any:
        """Return the batches of an epoch, split among the replicas."""
        if data.gathers and self.strategy.num_replicas_in_sync == 1:
            return data.gathered(epoch)  # without a pipeline that is built for every epoch
        return steps.distribute(data.epoch(epoch))

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

    def _tell(self, epoch: int, logs: dict[str, float], task: TrainingTask, seconds: float) -> None:
        line = epoch_line(
            logs,
            epoch=epoch + 1,
            epochs=self.options.epochs,
            seconds=seconds,
            perturbed=(task.validate_on or task.perturb) is not None,
        )
        self.epoch_log(line)


def _trainable(classifier: Classifier) -> Trainable:
    if not isinstance(classifier, Trainable):
        raise ClassifierError(
            f"only Keras classifiers can be trained; received: {type(classifier).__name__}"
        )
    return classifier


def _completed(task: TrainingTask, perturb: Perturb | None, loss: Loss | None) -> TrainingTask:
    """Return a task with the perturbation and the loss that were given beside it."""
    if perturb is not None:
        task = dataclasses.replace(task, perturb=perturb)
    return task if loss is None else dataclasses.replace(task, loss=loss)
