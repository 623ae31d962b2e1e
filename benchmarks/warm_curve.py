"""A warm-started curve of eight budgets ÷ the dearest of them by itself: gradients and CPU time.

CPU time of the process, traces made before: what computes less must not look slower because the
machine was busy. Beside it stands how far the accuracies are above those of eight attacks by
themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.gradient_floor import row, spread
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.tables import Row
from tfrobust import create
from tfrobust.attack import Attack
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.results.attack_records import AttackResult

_BAR = 2.5
_IMAGES = 200
_LINF = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
_CURVES: dict[str, tuple[str, dict[str, Any], Sequence[float]]] = {
    "`pgd`, L∞": ("pgd", {}, _LINF),
    "`pgd`, L2": ("pgd", {"norm": "l2"}, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
    "`pgd`, L1": ("pgd", {"norm": "l1"}, (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)),
    "`apgd_ce`, L∞": ("apgd_ce", {}, _LINF),
}


def measure(plan: Plan) -> Iterator[Row]:
    """Measure curves on LeNet and MNIST's test images."""
    for title, (name, options, budgets) in _CURVES.items():
        if plan.wants(name):
            attacks = at_budgets([create("attacks", name, **options)], budgets)
            yield from _rows(title, attacks, plan)


def _rows(title: str, attacks: Sequence[Attack], plan: Plan) -> Iterator[Row]:
    images = min(_IMAGES, plan.images)
    alone = [_run([attack], images)[0][0] for attack in attacks]
    curve, _ = _run(attacks, images)
    dearest = int(np.argmax([result.gradients_per_image for result in alone]))
    gradients = sum(result.gradients_per_image for result in curve)
    turns = [
        _run(attacks, images)[1] / _run([attacks[dearest]], images)[1] for _ in range(plan.turns)
    ]
    above = [100 * (c.accuracy - a.accuracy) for c, a in zip(curve, alone, strict=True)]
    what = f"{title}, {images} images: {len(attacks)} budgets with a warm start ÷ the dearest"
    share = gradients / alone[dearest].gradients_per_image
    apart = sum(result.gradients_per_image for result in alone) / alone[dearest].gradients_per_image
    yield {
        "what": f"{what}, gradients",
        "measured": f"{share:.2f} × (each by itself: {apart:.2f} ×); accuracy higher by "
        f"{np.mean(above):.1f} points in the mean, {max(above):.1f} at most",
        "bar": f"≤ {_BAR} ×",
        "holds": share <= _BAR,
    }
    yield row(f"{what}, CPU time", spread(turns), _BAR)


def _run(attacks: Sequence[Attack], images: int) -> tuple[list[AttackResult], float]:
    """Return what attacks did with a warm start, and the seconds of CPU time that it took."""
    lenet = network("lenet").classifier
    began = time.process_time()
    evaluated = evaluate(
        {"lenet": lenet},
        create("scenarios", "mnist"),
        attacks,
        limit=images,
        baselines=(),
        warm_start=True,
    )
    return evaluated.results.evaluations[0].attacks, time.process_time() - began
