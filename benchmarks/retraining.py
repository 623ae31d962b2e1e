"""The cost of a retraining: the generator's training relative to its parts, and the label search.

The parts are the frozen classifier's forward pass with the gradient of its input, and the
generator's own forward and backward pass; each is a graph of its own. Their sum is compared with a
step of `gap`'s training, including clipping, scaling and the optimizer. The search is the paper's:
10,000 images among 50,000, in 300 principal components; its bar is in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import Classifier, KerasClassifier, create
from tfrobust.data.reading import arrays
from tfrobust.training.task import cross_entropy
from tfrobust_attacks.universal.gap_generator import generator
from tfrobust_retraining.neighbours import Neighbours

_BATCH, _BAR = 100, 1.1
_SPELL = 3.0  # minimum seconds of a turn
_KNOWN, _ASKED, _DIMENSIONS, _SECONDS = 50_000, 10_000, 300, 20.0
_SHAPE = (32, 32, 3)
_PLANS = {"universal": {}, "image": {"filters": 16, "blocks": 2}}


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time `gap`'s steps on a narrow ResNet-18, and a search of neighbours."""
    if plan.wants("gap"):
        model = create("models", "resnet18", stem="cifar", width=0.25).build(_SHAPE, 10)
        network = KerasClassifier(model)
        for mode, options in _PLANS.items():
            turns = [_turn(network, mode, options, plan) for _ in range(plan.turns)]
            yield row(f"`gap`, mode={mode}: a step ÷ its parts bare", spread(turns), _BAR)
    if plan.wants("retraining"):
        took = spread([_search(plan) for _ in range(min(plan.turns, 3))])
        yield {
            "what": f"`retraining`: {_ASKED:,} images looked up among {_KNOWN:,}, in {_DIMENSIONS} "
            "components",
            "measured": f"{took.median:.1f} s ({took.low:.1f} to {took.high:.1f})",
            "bar": f"≤ {_SECONDS:.0f} s",
            "holds": took.median <= _SECONDS,
        }


def _turn(network: Classifier, mode: str, options: dict[str, Any], plan: Plan) -> float:
    """Return the time of a step over that of its parts, each summed over a spell."""
    images, labels = arrays(create("scenarios", "cifar10"), "test", min(_BATCH, plan.images))
    attack = create("attacks", "gap", mode=mode, **options)
    model = generator(_SHAPE, attack.filters, attack.blocks, seed=0)
    pattern = tf.random.stateless_uniform((1, *_SHAPE), (0, 0))
    step = attack.trained_step(network, model, pattern)
    given = tf.constant(images), tf.constant(labels), tf.constant(labels)
    runs = [
        _input_gradient(network, *given[:2]),
        _own_pass(model, pattern if mode == "universal" else given[0]),
        lambda: step(*given),
    ]
    for run in runs:
        run()  # traces
    seconds = np.zeros(len(runs))
    while seconds.sum() < _SPELL:
        seconds += [_timed(run) for run in runs]
    return float(seconds[-1] / seconds[:-1].sum())


def _input_gradient(network: Classifier, images: Any, labels: Any) -> Callable[[], Any]:
    @tf.function
    def run(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            losses = cross_entropy(labels, network(images))
        return tape.gradient(losses, images)

    return lambda: run(images)


def _own_pass(model: Any, inputs: Any) -> Callable[[], Any]:
    weights = [variable.value for variable in model.trainable_variables]

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            drawn = model(inputs)
        return tape.gradient(drawn, weights, output_gradients=drawn)

    return run


def _search(plan: Plan) -> float:
    share = min(1.0, plan.images / 1000)  # fewer in a smoke run
    random = np.random.default_rng(0)
    known, asked = (
        random.uniform(size=(int(share * count), 20, 20, 1)).astype(np.float32)
        for count in (_KNOWN, _ASKED)
    )
    labels = random.integers(0, 10, len(known))
    neighbours = Neighbours(known, labels, k=1, dimensions=min(_DIMENSIONS, len(known)), seed=0)
    began = time.perf_counter()
    neighbours.look_up(asked)
    return time.perf_counter() - began


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for tensor in tf.nest.flatten(run()):
        tensor.numpy()  # waits for it
    return time.perf_counter() - began
