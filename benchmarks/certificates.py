"""Certificates by noise beside bare forward passes of the network inside the smoothed classifier.

Both see as many images of the same size in batches of the same size; what is more is the noise, the
counting of votes and the intervals.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import Certifier, Classifier, KerasClassifier, Trainer, create
from tfrobust.classifiers.inference import forward

_BAR = 1.11  # at 0.9 × the speed
_IMAGES, _DRAWS, _ROWS = 20, 500, 1000
_TURN = 2.0  # seconds that each way runs in a turn, at least
# Untrained: time does not depend on the weights.
_NETWORKS = {"LeNet, 28×28×1": ("lenet", (28, 28, 1)), "ResNet, 32×32×3": ("resnet", (32, 32, 3))}


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time `smoothing` and `pixel_dp`, by the draw, and as many forward passes."""
    draws = min(_DRAWS, 50 * plan.images)
    for title, (model, shape) in _NETWORKS.items():
        network = KerasClassifier(create("models", model).build(shape, 10))
        smoothed = _smoothed(network)
        images = np.random.default_rng(0).uniform(size=(_IMAGES, *shape)).astype(np.float32)
        for name in ("smoothing", "pixel_dp"):
            if not plan.wants(name):
                continue
            certifier = create("certifiers", name, n=draws, batch=_ROWS)
            ways = {
                "certified": functools.partial(_certify, certifier, smoothed, images),
                "bare": functools.partial(_bare, network, images, certifier.passes),
            }
            ratio = spread([_turn(ways) for _ in range(plan.turns)])
            yield row(f"`{name}`, {title} ÷ as many forward passes", ratio, _BAR)


def _smoothed(network: KerasClassifier) -> Classifier:
    defense = create("defenses", "randomized_smoothing", training="off")
    return defense.apply(network, create("scenarios", "digits"), Trainer()).classifier


def _certify(certifier: Certifier, classifier: Classifier, images: np.ndarray) -> None:
    certifier.certify(classifier, images, np.zeros(len(images), np.int64), seed=0)


def _bare(network: Classifier, images: np.ndarray, passes: int) -> None:
    rows = tf.constant(np.repeat(images, _ROWS // len(images), axis=0))
    call = forward(network)
    for _ in range(round(passes * len(images) / len(rows))):
        call(rows).numpy()


def _turn(ways: dict[str, Callable[[], Any]]) -> float:
    """Return the time of certificates over that of forward passes, run by turns."""
    for run in ways.values():
        run()  # traces
    seconds = dict.fromkeys(ways, 0.0)
    while sum(seconds.values()) < _TURN:
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[name] += time.perf_counter() - began
    return seconds["certified"] / seconds["bare"]
