"""What training a calibrater costs beside its parts run bare, and whether the shifts keep up.

Bare are the calibrater's own forward and backward pass and the frozen classifier's forward pass
with the gradient of its input, each a graph of its own. Beside their sum stand one step of the
project's training loop, optimizer and all, and a whole epoch of it, its images shifted anew.
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
from tfrobust.scenario import arrays
from tfrobust.scenes import open_scenario
from tfrobust.training_data import TrainingData
from tfrobust.training_steps import Steps, cross_entropy

_BATCH, _BAR = 128, 1.1
_TURN = 2.0  # seconds that each way runs in a turn, at least
_SHIFTS = ("a", "b1", "b2")
_NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "cifar", "width": 0.25},
    "vgg16": {"stem": "cifar", "width": 0.25},
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
    calibrated = defense.apply(network, scene, Trainer(TrainingOptions(epochs=0)))
    images, labels = arrays(create("scenarios", "cifar10"), "test", _BATCH)
    step = _step(calibrated, images, labels)
    ways = {
        "calibrater": _own_pass(calibrated.model, images),
        "classifier": _input_gradient(network, images, labels),
        "step": step,
        **{shift: _shifted(shift) for shift in _SHIFTS},
        "epoch": _epoch(calibrated, scene),
    }
    for run in ways.values():
        run()  # traces
    found = [_turn(ways) for _ in range(plan.turns)]
    bare = [turn["calibrater"] + turn["classifier"] for turn in found]
    for way, what in (("step", "a step of training"), ("epoch", "an epoch on `cifar10+b2`")):
        ratio = spread([turn[way] / floor for turn, floor in zip(found, bare, strict=True)])
        yield row(f"`calibrater` of `{name}`: {what} ÷ its parts bare", ratio, _BAR)
    for shift in _SHIFTS:
        ratio = spread([turn[shift] / turn["step"] for turn in found])
        yield row(f"`{shift}`: a batch, loaded and shifted ÷ a step of `{name}`'s", ratio, 1.0)


def _own_pass(model: Any, images: Any) -> Callable[[], Any]:
    weights = [variable.value for variable in model.trainable_variables]

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            made = model(images, training=True)
        return tape.gradient(made, weights, output_gradients=made)

    return run


def _input_gradient(network: Classifier, images: Any, labels: Any) -> Callable[[], Any]:
    @tf.function
    def run(images: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            losses = cross_entropy(labels, network(images))
        return tape.gradient(losses, images)

    return lambda: run(tf.constant(images))


def _step(calibrated: Any, images: Any, labels: Any) -> Callable[[], Any]:
    optimizer = keras.optimizers.Adam(2e-4)
    optimizer.build(calibrated.model.trainable_variables)
    steps = Steps(calibrated, optimizer, tf.distribute.get_strategy(), None, cross_entropy)
    given = tf.constant(images), tf.constant(labels), tf.range(len(images)), tf.constant(0)
    return lambda: steps.train(*given)


def _epoch(calibrated: Any, scene: Any) -> Callable[[], Any]:
    """Return what takes the next batch of an endless epoch and trains on it."""
    data = TrainingData(scene, TrainingOptions(batch_size=_BATCH))
    optimizer = keras.optimizers.Adam(2e-4)
    optimizer.build(calibrated.model.trainable_variables)
    steps = Steps(calibrated, optimizer, tf.distribute.get_strategy(), None, cross_entropy)
    batches = iter(data.epoch(0).repeat())
    seed = data.seed_of(0)
    return lambda: steps.train(*next(batches), seed)


def _shifted(shift: str) -> Callable[[], Any]:
    data = TrainingData(open_scenario(f"cifar10+{shift}"), TrainingOptions(batch_size=_BATCH))
    batches = iter(data.epoch(0).repeat())
    return lambda: next(batches)


def _turn(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the seconds of a batch that each way takes, run one after the other."""
    found = {}
    for name, run in ways.items():
        seconds: list[float] = []
        while sum(seconds) < _TURN:
            began = time.perf_counter()
            tf.nest.map_structure(np.asarray, tf.nest.flatten(run())[:1])  # waits for it
            seconds.append(time.perf_counter() - began)
        found[name] = sum(seconds) / len(seconds)
    return found
