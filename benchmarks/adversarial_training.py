"""The cost of adversarial training relative to its gradients alone.

With ten steps of PGD these are eleven gradients per batch: ten with respect to the images, of the
network in inference mode, in one `tf.while_loop` that moves the images just enough that nothing can
be reused; and one with respect to the weights, of the network in training mode. They are compared
with a whole step of the project's training loop: the random start, the projections, the verdicts on
every iterate, and the optimizer. Free training takes two steps per batch here, each with one
gradient with respect to weights and images; it is compared with two gradients with respect to the
weights alone.

Floor and training run in turn, and each turn traces both again (`benchmarks/gradient_floor.py`).
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
from tfrobust import KerasClassifier, create
from tfrobust.data.reading import arrays
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask, cross_entropy
from tfrobust_adversarial_training.replays import ReplayedSteps, replayed

_BATCH, _STEPS, _REPLAYS, _BAR = 128, 10, 2, 1.1
_SPELL = 2.0  # minimum seconds of a turn
_NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "cifar", "width": 0.25},
}

Run = Callable[[], Any]


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time steps of PGD training and of free training on CIFAR-10."""
    for name, options in _NETWORKS.items():
        network = KerasClassifier(create("models", name, **options).build((32, 32, 3), 10))
        batch = _batch(min(_BATCH, plan.images))
        if plan.wants("pgd"):
            turns = [_turn(_pgd_training(network, batch)) for _ in range(plan.turns)]
            what = f"`pgd_training` of `{name}`: a step with PGD-{_STEPS} ÷ {_STEPS + 1} gradients"
            yield row(what, spread(turns), _BAR)
        if plan.wants("free_training"):
            turns = [_turn(_free_training(network, batch)) for _ in range(plan.turns)]
            what = f"`free_training` of `{name}`: a batch of {_REPLAYS} replays ÷ as many gradients"
            yield row(what, spread(turns), None)


def _batch(count: int) -> tuple[Any, ...]:
    images, labels = arrays(create("scenarios", "cifar10"), "train", count)
    given = tf.constant(images), tf.constant(labels), tf.range(count)
    return *given, tf.ones(count), tf.constant(0)


def _pgd_training(network: KerasClassifier, batch: tuple[Any, ...]) -> tuple[list[Run], Run]:
    """Return the parts of the floor, and the training step they are compared with."""
    attack = create("defenses", "pgd_training", eps=8 / 255, steps=_STEPS).inner_attack()

    def perturb(classifier: Any, images: Any, labels: Any, seeds: Any) -> Any:
        return attack(classifier, images, labels, seed=seeds)

    steps = Steps(*_trained(network), TrainingTask(perturb=perturb), len(batch[0]))
    floor = [_image_gradients(network, batch), _weight_gradient(network, batch)]
    return floor, lambda: steps.train(*batch)


def _free_training(network: KerasClassifier, batch: tuple[Any, ...]) -> tuple[list[Run], Run]:
    """Return the parts of the floor, and the training step they are compared with."""
    free = create("defenses", "free_training", eps=8 / 255, replays=_REPLAYS)
    task = replayed(_REPLAYS, free.step)
    steps = ReplayedSteps(*_trained(network), task, len(batch[0]), move=free.step)
    gradient = _weight_gradient(network, batch)
    return [gradient] * _REPLAYS, lambda: [steps.train(*batch) for _ in range(_REPLAYS)]


def _trained(network: KerasClassifier) -> tuple[Any, ...]:
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(network.model.trainable_variables)
    return network, optimizer, tf.distribute.get_strategy()


def _image_gradients(network: KerasClassifier, batch: tuple[Any, ...]) -> Run:
    images, labels, *_ = batch

    def gradient(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = network(images)
        return tape.gradient(logits, images, tf.one_hot(labels, network.num_classes))

    @tf.function
    def run(images: Any, labels: Any) -> Any:
        return tf.while_loop(
            lambda number, _: number < _STEPS,
            lambda number, images: (number + 1, images + 1e-9 * gradient(images, labels)),
            (0, images),
            parallel_iterations=1,
        )[1]

    return lambda: run(images, labels)


def _weight_gradient(network: KerasClassifier, batch: tuple[Any, ...]) -> Run:
    images, labels, *_ = batch
    weights = [variable.value for variable in network.model.trainable_variables]

    @tf.function
    def run(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = cross_entropy(labels, network.logits_in_training(images))
        return tape.gradient(losses, weights)

    return lambda: run(images, labels)


def _turn(ways: tuple[list[Run], Run]) -> float:
    """Return the time of a training's step over that of its floor, each summed over a spell."""
    floor, training = ways
    runs = [*floor, training]
    for run in runs:
        run()  # traces
    seconds = np.zeros(len(runs))
    while seconds.sum() < _SPELL:
        seconds += [_timed(run) for run in runs]
    return float(seconds[-1] / seconds[:-1].sum())


def _timed(run: Run) -> float:
    began = time.perf_counter()
    for tensor in tf.nest.flatten(run()):
        tensor.numpy()  # waits for it
    return time.perf_counter() - began
