"""The cost of an epoch relative to its steps alone: what loading and bookkeeping take.

The bare steps are the very steps of the training, as many as an epoch has, on one fixed batch that
lies on the device. They run before each epoch, in turn with it, so that other load on the machine
affects both. The epoch is a whole one of the training loop: the order is drawn, batches are
gathered, callbacks called, progress reported and sums read. The first epoch, which reads the images
and traces the step, does not count.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import Classifier, KerasClassifier, Scenario, Trainer, TrainingOptions, create
from tfrobust.data.framing import Reviewed
from tfrobust.training.data import TrainingData
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask
from tfrobust_adversarial_training.inner_attack import attacked_by

_BATCH, _EPOCHS, _BAR = 128, 2, 1.08  # two epochs a turn
_NETWORKS: dict[str, tuple[str, int, dict[str, Any]]] = {  # data, images of them, options
    "lenet": ("mnist", 5_000, {}),
    "resnet18": ("cifar10", 2_560, {"stem": "cifar", "width": 0.25}),
}


class _Few(Reviewed):
    """The first images of a scenario."""

    def __init__(self, base: Scenario, count: int) -> None:
        super().__init__(base)
        self._few = count

    def load(self, split: str) -> tf.data.Dataset:
        """Return the first images of a split."""
        return self.base.load(split).take(self._few)

    def count(self, split: str) -> int | None:
        """Return how many these are."""
        count = self.base.count(split)
        return None if count is None else min(count, self._few)


class _Timed(keras.callbacks.Callback):
    """Times an epoch's bare steps, and the epoch.

    Attributes:
        ratios: epoch ÷ bare steps, of every epoch.
    """

    def __init__(self, bare: Callable[[], None]) -> None:
        super().__init__()
        self.ratios: list[float] = []
        self._bare, self._seconds, self._began = bare, 0.0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        began = time.perf_counter()
        self._bare()
        self._began = time.perf_counter()
        self._seconds = self._began - began

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ratios.append((time.perf_counter() - self._began) / self._seconds)


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time epochs of plain training, of PGD training and of a calibrater's training."""
    for name, (data, images, options) in _NETWORKS.items():
        scenario = _Few(create("scenarios", data), images)
        for way, (classifier, task) in _trainings(name, options, scenario).items():
            if way == "plain" or plan.wants(way):
                ratio = spread(_ratios(classifier, scenario, task, plan.turns))
                what = f"{way} training of `{name}`: an epoch ÷ its steps on one batch"
                yield row(what, ratio, _BAR)


def _trainings(
    name: str, options: dict[str, Any], scenario: Scenario
) -> dict[str, tuple[Classifier, TrainingTask]]:
    """Return what is trained, and what each step lowers."""

    def network() -> KerasClassifier:
        built = create("models", name, **options)
        return KerasClassifier(built.build(scenario.image_shape, scenario.num_classes))

    pgd = create("defenses", "pgd_training", eps=8 / 255, steps=3).inner_attack()
    untrained = Trainer(TrainingOptions(epochs=0))
    calibrated = create("defenses", "calibrater").apply(network(), scenario, untrained).classifier
    return {
        "plain": (network(), TrainingTask()),
        "pgd": (network(), TrainingTask(perturb=attacked_by(pgd))),
        "calibrater": (calibrated, TrainingTask()),
    }


def _ratios(
    classifier: Classifier, scenario: Scenario, task: TrainingTask, turns: int
) -> list[float]:
    """Return epoch ÷ bare steps, of several epochs of one training."""
    options = TrainingOptions(epochs=turns * _EPOCHS + 1, batch_size=_BATCH, validation=0.0)
    data = TrainingData(scenario, options)
    images, labels, index = next(iter(data.epoch(0)))
    batch = images, labels, index, tf.ones(_BATCH), tf.constant(0)
    trainings: list[Steps] = []

    def steps(*given: Any) -> Steps:
        trainings.append(Steps(*given))
        return trainings[-1]

    def bare() -> None:
        for _ in range(data.steps):
            sums = trainings[-1].train(*batch)
        sums.numpy()  # waits for it

    timed = _Timed(bare)
    trainer = Trainer(options, callbacks=[timed], report=lambda *_: None)
    trainer.fit(classifier, scenario, dataclasses.replace(task, steps=steps))
    return timed.ratios[1:]
