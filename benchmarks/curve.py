"""A curve of eight budgets compared with its eight attacks: how many traces the budgets cost.

The curve starts without a trace, as in `evaluate --eps`, so that all its tracing counts. It is
compared with the same eight attacks after tracing, plus one trace: the extra time of the first of
the eight without a trace. The eight are also run with a trace each, as if the budget were a
constant of the graph.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gradient_floor import BATCH, row, spread
from benchmarks.networks import Network, network
from benchmarks.plan import Plan
from benchmarks.tables import Row
from tfrobust import create, run_attack
from tfrobust.attack import Attack
from tfrobust.engine.compiled import COMPILED
from tfrobust.evaluation.curves.sweeps import at_budgets

_BAR = 1.3
_BUDGETS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
_IMAGES = 100
_ATTACKS: dict[str, dict[str, Any]] = {
    "fgsm": {},
    "pgd": {},
    "apgd_ce": {},
    "fab": {"steps": 20, "early_stop": True},
    "square": {"queries": 500},
}


class _Turn(NamedTuple):
    """Seconds."""

    curve: float  # with its own tracing
    traced: float  # the eight attacks, already traced
    trace: float  # one trace
    separate: float  # the eight attacks, each with its own trace


def measure(plan: Plan) -> Iterator[Row]:
    """Time curves on LeNet and MNIST's test images."""
    lenet = network("lenet")
    for name, options in _ATTACKS.items():
        if not plan.wants(name):
            continue
        attacks = at_budgets([create("attacks", name, **options)], _BUDGETS)
        images = min(_IMAGES, plan.images)
        turns = [_turn(attacks, lenet, images) for _ in range(plan.turns)]
        yield _row(name, images, turns)


def _turn(attacks: Sequence[Attack], lenet: Network, count: int) -> _Turn:
    images, labels = lenet.first(count)

    def seconds(attack: Attack, *, trace_again: bool) -> float:
        if trace_again:
            COMPILED.clear()
        began = time.perf_counter()
        run_attack(attack, lenet.classifier, images, labels, batch_size=BATCH)
        return time.perf_counter() - began

    separate = [seconds(attack, trace_again=True) for attack in attacks]
    COMPILED.clear()
    curve = [seconds(attack, trace_again=False) for attack in attacks]
    traced = [seconds(attack, trace_again=False) for attack in attacks]
    return _Turn(sum(curve), sum(traced), separate[0] - traced[0], sum(separate))


def _row(name: str, images: int, turns: Sequence[_Turn]) -> Row:
    ratio = spread([turn.curve / (turn.traced + turn.trace) for turn in turns])
    median = _Turn(*np.median(np.array(turns), axis=0))
    budgets = len(_BUDGETS)
    line = row(
        f"`{name}`, {images} images: {budgets} budgets ÷ ({budgets} traced runs + 1 trace)",
        ratio,
        _BAR,
    )
    line["measured"] += (
        f"; {median.curve:.2f} s : ({median.traced:.2f} + {median.trace:.2f}) s; "
        f"a trace a budget: {median.separate:.2f} s"
    )
    return line
