"""Fifty passes of Monte Carlo dropout beside one: what stands before the dropout runs once."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import BATCH, row, spread
from benchmarks.plan import Plan
from tfrobust import Classifier, KerasClassifier, Trainer, create
from tfrobust.classifiers.inference import in_batches
from tfrobust.data.reading import arrays

_SAMPLES, _BAR = 50, 3
_TURN = 1.0  # seconds that each way runs in a turn, at least
_RATE = 0.5
# Untrained: time does not depend on the weights.
_NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "`lenet`, dropout inserted": ("lenet", {"rate": _RATE}),
    "`lenet_float`, its own dropout": ("lenet_float", {}),
    "`lenet_quantized`, its own dropout": ("lenet_quantized", {}),
}


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time one pass, fifty in `mc_dropout`, and fifty calls of one pass, on MNIST images."""
    if not plan.wants("mc_dropout"):
        return
    data = create("scenarios", "mnist")
    images, _ = arrays(data, "test", plan.images)
    for title, (model, options) in _NETWORKS.items():
        built = create("models", model).build(data.image_shape, data.num_classes)
        plain = KerasClassifier(built)
        many, single = (
            create("defenses", "mc_dropout", samples=samples, **options)
            .apply(plain, data, Trainer())
            .classifier
            for samples in (_SAMPLES, 1)
        )
        ways = {
            "one": _runner(plain, images, 1),
            "many": _runner(many, images, 1),
            "plainly": _runner(single, images, _SAMPLES),
        }
        turns = [_turn(ways) for _ in range(plan.turns)]
        for name, bar in (("many", _BAR), ("plainly", None)):
            how = "`mc_dropout`" if name == "many" else "called one by one"
            ratio = spread([turn[name] / turn["one"] for turn in turns])
            yield row(f"{_SAMPLES} passes of {title}, {how} ÷ one pass", ratio, bar)


def _runner(classifier: Classifier, images: np.ndarray, times: int) -> Callable[[], Any]:
    spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
    traced = tf.function(classifier.__call__, input_signature=[spec])
    call = functools.partial(in_batches, traced, images, BATCH)
    return lambda: [call() for _ in range(times)]


def _turn(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the seconds that each way takes, run by turns."""
    for run in ways.values():
        run()  # traces
    seconds, runs = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    while min(seconds.values()) < _TURN:
        for name, run in ways.items():
            if seconds[name] >= _TURN:
                continue  # the slow ones have had their time
            began = time.perf_counter()
            run()
            seconds[name] += time.perf_counter() - began
            runs[name] += 1
    return {name: seconds[name] / runs[name] for name in ways}
