"""The cost of training a calibrater relative to its parts, and whether the shifts are fast enough.

The parts are the calibrater's own forward and backward pass, and the frozen classifier's forward
pass with the gradient of its input; each is a graph of its own. Their sum is compared with one step
of the project's training loop, including the optimizer, and with whole epochs of it, from drawing
the order to the last batch: with every image shifted in every epoch, and with none shifted. A shift
is fast enough if its batches are drawn faster than the training uses them; an epoch with it takes
longer because the shift uses cores that the training could use otherwise.

The time of an epoch is that to its first batch, and the median of the other batches for each of
them: otherwise a second of other load on the machine would count for one way and not for another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import Classifier, KerasClassifier, Trainer, TrainingOptions, create
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.training.data import TrainingData
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask, cross_entropy

_BATCH, _BAR = 128, 1.1
_SPELL = 1.5  # seconds that each part runs between two epochs, at least
_TURNS = 3  # of several epochs each
_SHIFTS = ("", "+a", "+b1", "+b2")
_LEFT_OUT = 0.8  # share of the training images: 10,000 are enough for an epoch
_NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "cifar", "width": 0.25},
}


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time steps and epochs on CIFAR-10 under B2, and each shift beside a training's step."""
    if not plan.wants("calibrater"):
        return
    for name, options in _NETWORKS.items():
        network = KerasClassifier(create("models", name, **options).build((32, 32, 3), 10))
        yield from _of_network(name, network, plan)


def _of_network(name: str, network: Classifier, plan: Plan) -> Iterator[dict[str, Any]]:
    scene = open_scenario("cifar10+b2")
    defense = create("defenses", "calibrater")
    trainer = Trainer(TrainingOptions(epochs=0))
    calibrated = defense.apply(network, scene, trainer).classifier
    images, labels = arrays(create("scenarios", "cifar10"), "test", _BATCH)
    train = _steps(calibrated).train  # one trace for all: a second may be faster or slower
    given = tf.constant(images), tf.constant(labels), tf.range(len(images))
    whole = *given, tf.ones(len(images)), tf.constant(0)
    parts = {
        "calibrater": _own_pass(calibrated.model, images),
        "classifier": _input_gradient(network, images, labels),
        "step": lambda: train(*whole),
    }
    for run in parts.values():
        run()  # traces
    epochs = {shift: _epochs(train, f"cifar10{shift}") for shift in _SHIFTS}
    turns = [_turn(parts, epochs, turn) for turn in range(min(plan.turns, _TURNS))]
    bare = [turn["calibrater"] + turn["classifier"] for turn in turns]
    for way, what in (("step", "a step of training"), ("+b2", "an epoch on `cifar10+b2`")):
        ratio = spread([turn[way] / floor for turn, floor in zip(turns, bare, strict=True)])
        yield row(f"`calibrater` of `{name}`: {what} ÷ its parts bare", ratio, _BAR)
    for shift in _SHIFTS[1:]:
        ratio = spread([turn[shift] / turn[""] for turn in turns])
        yield row(
            f"`calibrater` of `{name}`: an epoch under `{shift[1:]}` ÷ one of none", ratio, None
        )
    yield from _pipelines(name, turns)


def _pipelines(name: str, turns: list[dict[str, float]]) -> Iterator[dict[str, Any]]:
    """Compare the drawing of a batch with a step of training."""
    step = float(np.median([turn["step"] for turn in turns]))
    for shift in _SHIFTS[1:]:
        options = TrainingOptions(batch_size=_BATCH, validation=_LEFT_OUT)
        data = TrainingData(open_scenario(f"cifar10{shift}"), options)
        ratios = []
        for number in range(_TURNS):
            ends = [time.perf_counter() for _ in data.epoch(number)]
            ratios.append(float(np.median(np.diff(ends))) / step)
        what = (
            f"`calibrater` of `{name}`: a batch of `{shift[1:]}` drawn alone ÷ a step of training"
        )
        yield row(what, spread(ratios), 1.0)


def _own_pass(model: Any, images: Any) -> Callable[[], Any]:
    weights = [variable.value for variable in model.trainable_variables]

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            factors = model(images, training=True)
        return tape.gradient(factors, weights, output_gradients=factors)

    return run


def _input_gradient(network: Classifier, images: Any, labels: Any) -> Callable[[], Any]:
    @tf.function
    def run(images: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            losses = cross_entropy(labels, network(images))
        return tape.gradient(losses, images)

    return lambda: run(tf.constant(images))


def _steps(calibrated: Any) -> Steps:
    optimizer = keras.optimizers.Adam(2e-4)
    optimizer.build(calibrated.model.trainable_variables)
    return Steps(calibrated, optimizer, tf.distribute.get_strategy(), TrainingTask(), _BATCH)


def _epochs(train: Callable[..., Any], scenario: str) -> Callable[[int], float]:
    """Return a function that trains for one epoch and returns the seconds per batch."""
    options = TrainingOptions(batch_size=_BATCH, validation=_LEFT_OUT)
    data = TrainingData(open_scenario(scenario), options)
    next(iter(data.epoch(0)))  # reads the images into memory

    def run(number: int) -> float:
        ends = [time.perf_counter()]
        for batch in data.epoch(number):
            train(*batch, tf.ones(_BATCH), tf.constant(0)).numpy()  # waits for it
            ends.append(time.perf_counter())
        first, *others = np.diff(ends)
        return float(first + np.median(others) * len(others)) / data.steps

    return run


def _turn(
    parts: dict[str, Callable[[], Any]], epochs: dict[str, Callable[[int], float]], number: int
) -> dict[str, float]:
    """Return the seconds per batch of every epoch, and of the parts, timed between the epochs."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    per_batch = {}
    for shift, run in epochs.items():
        for name, part in parts.items():
            seconds[name] += _timed(part)
        per_batch[shift] = run(number)
    return per_batch | {name: float(np.median(times)) for name, times in seconds.items()}


def _timed(run: Callable[[], Any]) -> list[float]:
    """Return the seconds of several runs."""
    seconds: list[float] = []
    while sum(seconds) < _SPELL:
        began = time.perf_counter()
        tf.nest.map_structure(np.asarray, tf.nest.flatten(run())[:1])  # waits for it
        seconds.append(time.perf_counter() - began)
    return seconds
