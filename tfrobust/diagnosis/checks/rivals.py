"""Tries attacks that should be weaker on the images that the attack left.

One step, noise, and an attack without gradients; and the attack itself at other budgets.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.attack import Attack
from tfrobust.diagnosis.bench import Bench, Outcome
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable
from tfrobust.diagnosis.checks.gradients import without_gradients
from tfrobust.diagnosis.pairs import Pair, compare
from tfrobust.norms.distances import widest
from tfrobust.results.findings import Verdict

_DRAWS = 20
_QUERIES = 300


def _stronger(what: str, pair: Pair, cause: str, calls: tuple[Call, ...]) -> Result:
    return Result(
        verdict=Verdict.MASKED,
        cause=cause,
        says=f"{what} breaks {pair.more} of {pair.images} images that the attack left, and "
        f"white-box attacks again {pair.less} others (p = {pair.p:.1g})",
        figure=pair.gain,
        threshold=0.0,
        calls=calls,
    )


def _weaker(what: str, pair: Pair) -> Result:
    if not pair.images:
        return fine(f"the attack left no image to try {what} on", 0.0, 0.0)
    return fine(
        f"{what} breaks {pair.more} of {pair.images} images that the attack left; white-box "
        f"attacks again {pair.less} others",
        pair.gain,
        0.0,
    )


def _one_step(bench: Bench) -> Result:
    step = bench.in_ball("fgsm")
    pair = bench.compare(bench.run(step, bench.unbroken).broken, bench.white_box)
    if pair.is_certain:
        return _stronger("one step", pair, "one step beats many", (Call(step),))
    half = dataclasses.replace(step, eps=bench.settings.eps / 2)  # type: ignore[type-var]
    whole = bench.run(step, bench.right)
    shorter = bench.run(half, bench.right)
    overfit = compare(shorter.broken, whole.broken)
    if overfit.is_certain:
        return Result(
            verdict=Verdict.MASKED,
            cause="fitted to one step",
            says=f"a step of half the length breaks {overfit.more} images that a whole one does "
            f"not, which breaks {overfit.less} others: FGSM at this budget says nothing "
            "(catastrophic overfitting)",
            figure=overfit.gain,
            threshold=0.0,
            calls=(Call(bench.in_ball("pgd")),),
        )
    return _weaker("one step", pair)


def _noise(bench: Bench) -> Result:
    rows = bench.unbroken
    broken = np.zeros(len(rows), bool)
    noise = bench.in_ball("gaussian_noise")
    for draw in range(_DRAWS):
        broken |= bench.run(noise, rows, seed=bench.settings.seed + draw).broken
    pair = bench.compare(broken, bench.white_box)
    if pair.is_certain:
        return _stronger("random noise", pair, "noise beats gradients", without_gradients(bench))
    return _weaker("random noise", pair)


def _black_box(bench: Bench) -> Result:
    if not without_gradients(bench):
        return not_applicable(f"no attack without gradients works in {bench.settings.norm}")
    square = bench.in_ball("square", queries=_QUERIES)
    pair = bench.compare(bench.run(square, bench.unbroken).broken, bench.white_box)
    if not pair.is_certain:
        return _weaker("Square", pair)
    longer = bench.in_ball("square", queries=10 * _QUERIES)
    return _stronger("Square", pair, "black box beats white box", (Call(longer),))


def _unbounded(bench: Bench) -> Result:
    """Attack at the widest budget: images of other classes lie in the ball, nothing is robust."""
    settings = bench.settings
    widest_budget = widest(settings.norm, bench.classifier.image_shape)
    if bench.classifier.num_classes > bench.known_classes:
        return not_applicable("an attack without a bound only gets itself rejected")
    attack = _at(bench, widest_budget)
    if attack is None:
        return not_applicable("the attack has no budget")
    rows = bench.right[:32]
    outcome = bench.run(attack, rows, counts=False)
    left = int((~outcome.broken).sum())
    if left <= 1:
        return fine("without a bound nothing is left", left / len(rows), 0.0)
    return Result(
        verdict=Verdict.MASKED if left >= 4 else Verdict.SUSPECT,
        cause="the attack fails without a bound",
        says=f"with every pixel free the attack leaves {left} of {len(rows)} images",
        figure=left / len(rows),
        threshold=0.0,
        calls=without_gradients(bench),
    )


def _budgets(bench: Bench) -> Result:
    """Compare budgets: what is broken in a ball is broken in a larger one."""
    smaller, larger = _at(bench, bench.settings.eps / 2), _larger(bench)
    if smaller is None or larger is None:
        return not_applicable("the attack has no budget")
    rows = bench.some(bench.right)
    outcomes: list[Outcome] = [
        bench.run(smaller, rows),
        Outcome(rows, bench.spread(bench.attacked)[rows], bench.images[rows]),
        bench.run(larger, rows, counts=False),
    ]
    shares = [float(outcome.broken.mean()) for outcome in outcomes]
    for less, more in ((0, 1), (1, 2)):
        pair = compare(outcomes[less].broken, outcomes[more].broken)
        if pair.is_certain:
            return Result(
                verdict=Verdict.MASKED,
                cause="a larger budget breaks less",
                says=f"half, whole and twice the budget break {_listed(shares)}",
                figure=pair.gain,
                threshold=0.0,
                calls=(Call(smaller),),
            )
    return fine(f"half, whole and twice the budget break {_listed(shares)}", 0.0, 0.0)


def _listed(shares: list[float]) -> str:
    return ", ".join(f"{share:.0%}".replace("%", " %") for share in shares)


def _larger(bench: Bench) -> Attack | None:
    most = widest(bench.settings.norm, bench.classifier.image_shape)
    return _at(bench, min(most, 2 * bench.settings.eps))


def _at(bench: Bench, eps: float) -> Attack | None:
    """Return the attack with another budget; `None` where it has none."""
    if bench.attack.eps is None:
        return None
    return dataclasses.replace(bench.attack, eps=eps)  # type: ignore[type-var]


_TRAMER = "Carlini et al. 2019; Tramèr et al. 2020"
ONE_STEP = Check(name="one step", source=_TRAMER, make=_one_step, gradients=True)
NOISE = Check(name="noise", source=_TRAMER, make=_noise)
BLACK_BOX = Check(name="black box", source=_TRAMER, make=_black_box, gradients=True)
UNBOUNDED = Check(name="unbounded", source="Carlini et al. 2019", make=_unbounded)
BUDGETS = Check(name="budgets", source="Carlini et al. 2019", make=_budgets)
