"""A curve of eight budgets beside its eight attacks: how often the budget costs a trace.

The curve is run from nothing, as `evaluate --eps` runs it: whatever it traces counts. It is held
against the same eight attacks once they are traced, plus one trace. That trace is what the first of
the eight takes longer from nothing than traced. For comparison the eight are also run with a trace
each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.gradient_floor import BATCH, row, spread
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.tables import Row
from tfrobust import create, run_attack
from tfrobust.attack import Attack, at_budgets
from tfrobust.engine.compiled import COMPILED

_BAR = 1.3
_BUDGETS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
_IMAGES = 100
_ATTACKS = {
    "fgsm": {},
    "pgd": {},
    "apgd_ce": {},
    "fab": {"steps": 20, "early_stop": True},
    "square": {"queries": 500},
}


class _Turn(NamedTuple):
    """Seconds."""

    curve: float  # from nothing
    runs: float  # of the eight attacks, all of them traced
    trace: float  # one
    apart: float  # the eight, each from nothing


def measure(plan: Plan) -> Iterator[Row]:
    """Time curves on LeNet and MNIST's test images."""
    lenet = network("lenet")
    images, labels = lenet.first(min(_IMAGES, plan.images))

    def seconds(attack: Attack, *, traced: bool) -> float:
        if not traced:
            COMPILED.clear()
        began = time.perf_counter()
        run_attack(attack, lenet.classifier, images, labels, batch_size=BATCH)
        return time.perf_counter() - began

    for name, options in _ATTACKS.items():
        if not plan.wants(name):
            continue
        attacks = at_budgets([create("attacks", name, **options)], _BUDGETS)
        turns = []
        for _ in range(plan.turns):
            apart = [seconds(attack, traced=False) for attack in attacks]
            COMPILED.clear()
            curve = sum(seconds(attack, traced=True) for attack in attacks)
            runs = [seconds(attack, traced=True) for attack in attacks]
            turns.append(_Turn(curve, sum(runs), apart[0] - runs[0], sum(apart)))
        ratio = spread([turn.curve / (turn.runs + turn.trace) for turn in turns])
        curve, runs, trace, apart = (spread(list(each)).median for each in zip(*turns, strict=True))
        what = f"`{name}`, {len(images)} images: curve of {len(attacks)} budgets ÷ one trace and "
        line = row(f"{what}{len(attacks)} traced runs", ratio, _BAR)
        line["measured"] += (
            f"; {curve:.2f} s : {trace:.2f} s + {runs:.2f} s; a trace each: {apart:.2f} s"
        )
        yield line
