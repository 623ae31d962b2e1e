"""PGD in detail: early stopping, tracing, and CleverHans's eager loop, relative to the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from benchmarks import networks
from benchmarks.gradient_floor import BATCH, Floor, ratios, row
from benchmarks.plan import Plan
from tfrobust import create, run_attack
from tfrobust.classifiers.inference import clean_predictions

_STEPS, _EPS, _STEP = 40, 0.3, 0.01


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time PGD-40 on LeNet and 1,000 MNIST images, with and without early stopping."""
    if not plan.wants("pgd"):
        return
    network = networks.network("lenet")
    classifier = network.classifier
    images, labels = network.first(plan.images)
    options = {"eps": _EPS, "steps": _STEPS, "step_size": _STEP}
    attacks = {
        "whole": create("attacks", "pgd", early_stop=False, **options),
        "early": create("attacks", "pgd", **options),
        "gentle": create("attacks", "pgd", **options | {"eps": 0.1}),
        "engine": create("attacks", "cleverhans_pgd", eps=_EPS, eps_iter=_STEP, nb_iter=_STEPS),
    }

    def runner(attack: Any) -> Callable[[], Any]:
        return lambda: run_attack(attack, classifier, images, labels, batch_size=BATCH)

    runners = {name: runner(attack) for name, attack in attacks.items()}
    runners["eager"] = lambda: _cleverhans_eagerly(classifier, images, labels)
    crafted = {name: run() for name, run in runners.items()}  # traces
    # The floor of early stopping includes the gradients that it saves.
    floor = Floor(classifier, images, labels, gradients=_STEPS, queries=_STEPS)
    times = ratios(floor, runners, plan.turns)
    title = f"PGD-{_STEPS}, LeNet, {len(images):,} MNIST images, ε = {_EPS}"
    yield row(f"{title}, no early stopping ÷ gradient floor", times["whole"], 1.05)
    yield row(f"{title}, early stopping ÷ gradient floor", times["early"], 0.6)
    yield row("the same at ε = 0.1, where most images hold out", times["gentle"], None)
    yield row("`cleverhans_pgd` in our engine ÷ gradient floor", times["engine"], None)
    yield row("CleverHans run eagerly ÷ gradient floor", times["eager"], None)
    verdicts = [
        clean_predictions(classifier, crafted[name].images) == labels for name in ("whole", "early")
    ]
    yield {
        "what": "early stopping gives every image the same verdict",
        "measured": f"{int((verdicts[0] != verdicts[1]).sum())} of {len(images):,} differ",
        "bar": "0",
        "holds": bool(np.array_equal(*verdicts)),
    }
    yield _tracing(classifier, images, labels)


def _cleverhans_eagerly(classifier: Any, images: np.ndarray, labels: np.ndarray) -> None:
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
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
