"""PGD against the gradient floor: the same number of bare gradients, nothing else.

The floor is forty gradients of the label's logit in one `tf.while_loop` of one `tf.function`, the
iterate moved just enough that no gradient can be reused. (Cross-entropy would make the floor
slower: where a confident network's gradient nearly vanishes, the numbers become denormal.) Floor
and attacks take turns in random order, so that a busy machine disturbs all of them alike; the
figure is the median of the ratios of each turn. What a gradient costs depends on the pixels, by up
to a third on the machine this was written on, so that a ratio may lie below 1: the floor's images
stay clean, the attack's do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from tfrobust import Trainer, create, run_attack
from tfrobust.audit import clean_predictions
from tfrobust.pipeline import train
from tfrobust.scenario import arrays
from tfrobust.training import TrainingOptions

_IMAGES, _BATCH, _STEPS, _TURNS, _EPS = 1000, 100, 40, 7, 0.3
_STEP = 0.01


def measure() -> list[dict[str, Any]]:
    """Time PGD-40 on LeNet and 1,000 MNIST images, with and without early stopping."""
    scenario = create("scenarios", "mnist")
    lenet = create("models", "lenet")
    classifier = train(lenet, scenario, Trainer(TrainingOptions(epochs=2)))
    images, labels = arrays(scenario, "test", _IMAGES)
    options = {"eps": _EPS, "steps": _STEPS, "step_size": _STEP}
    whole = create("attacks", "pgd", early_stop=False, **options)
    early = create("attacks", "pgd", **options)
    gentle = create("attacks", "pgd", **options | {"eps": 0.1})
    loop_options = {"eps": _EPS, "eps_iter": _STEP, "nb_iter": _STEPS}
    engine = create("attacks", "cleverhans_pgd", **loop_options)

    def run(attack: Any) -> Any:
        return run_attack(attack, classifier, images, labels, batch_size=_BATCH)

    runners: dict[str, Callable[[], Any]] = {
        "floor": lambda: _floor(classifier, images, labels),
        "whole": lambda: run(whole),
        "early": lambda: run(early),
        "gentle": lambda: run(gentle),
        "engine": lambda: run(engine),
        "eager": lambda: _cleverhans_eagerly(classifier, images, labels),
    }
    ratios = _ratios(runners)
    verdicts = [clean_predictions(classifier, run(a).images) == labels for a in (whole, early)]
    same = bool(np.array_equal(*verdicts))
    title = f"PGD-{_STEPS}, LeNet, {_IMAGES:,} MNIST images, ε = {_EPS}"
    return [
        _row(f"{title}, no early stopping ÷ gradient floor", ratios["whole"], 1.05),
        _row(f"{title}, early stopping ÷ gradient floor", ratios["early"], 0.6),
        _row("the same at ε = 0.1, where most images hold out", ratios["gentle"], None),
        _row("`cleverhans_pgd` in our engine ÷ gradient floor", ratios["engine"], None),
        _row("CleverHans run eagerly ÷ gradient floor", ratios["eager"], None),
        {
            "what": "early stopping gives every image the same verdict",
            "measured": f"{int((verdicts[0] != verdicts[1]).sum())} of {_IMAGES:,} differ",
            "bar": "0",
            "holds": same,
        },
        _tracing(classifier, images, labels),
    ]


def _ratios(runners: dict[str, Callable[[], Any]]) -> dict[str, float]:
    for run in runners.values():
        run()  # traces
    turns, order = [], np.random.default_rng(0)
    for _ in range(_TURNS):
        seconds = {}
        for name in order.permutation(list(runners)):
            began = time.perf_counter()
            runners[name]()
            seconds[name] = time.perf_counter() - began
        turns.append({name: value / seconds["floor"] for name, value in seconds.items()})
    return {name: float(np.median([turn[name] for turn in turns])) for name in runners}


_FLOORS: dict[int, Any] = {}


def _floor(classifier: Any, images: np.ndarray, labels: np.ndarray) -> None:
    def gradients(images: Any, labels: Any) -> Any:
        def body(number: Any, images: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                logits = classifier(images)
            upstream = tf.one_hot(labels, classifier.num_classes)
            return number + 1, images + 1e-9 * tape.gradient(logits, images, upstream)

        return tf.while_loop(
            lambda number, _: number < _STEPS, body, (0, images), parallel_iterations=1
        )[1]

    spec = [tf.TensorSpec((None, *images.shape[1:])), tf.TensorSpec((None,), tf.int64)]
    call = _FLOORS.setdefault(id(classifier), tf.function(gradients, input_signature=spec))
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        call(tf.constant(images[rows]), tf.constant(labels[rows])).numpy()


def _cleverhans_eagerly(classifier: Any, images: np.ndarray, labels: np.ndarray) -> None:
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        projected_gradient_descent(
            classifier,
            tf.constant(images[rows]),
            _EPS,
            _STEP,
            _STEPS,
            np.inf,
            clip_min=0.0,
            clip_max=1.0,
            y=tf.constant(labels[rows]),
            rand_init=True,
        ).numpy()


def _tracing(classifier: Any, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Count how often the classifier's Python runs over batches of several sizes."""
    traces = 0
    attack = create("attacks", "pgd", steps=3)

    class Watched(type(classifier)):  # type: ignore[misc]
        def __call__(self, images: Any) -> Any:
            nonlocal traces
            traces += 1
            return super().__call__(images)

    watched = Watched(classifier.model)
    run_attack(attack, watched, images[:250], labels[:250], batch_size=100)
    once = traces
    run_attack(attack, watched, images[:77], labels[:77], batch_size=30)
    return {
        "what": "traces after the first batch, over batches of 100, 50, 30 and 17 images",
        "measured": str(traces - once),
        "bar": "0",
        "holds": traces == once,
    }


def _row(what: str, ratio: float, bar: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "measured": f"{ratio:.2f} ×",
        "bar": f"≤ {bar} ×" if bar else "–",
        "holds": None if bar is None else ratio <= bar,
    }
