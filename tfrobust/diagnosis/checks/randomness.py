"""Checks whether two calls differ, and whether the attack averages enough of them."""

from __future__ import annotations

import math

import numpy as np

from tfrobust.classifiers.inference import predict
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine
from tfrobust.results.findings import Verdict

_CALLS = 8
_APART = 1e-4  # of the spread of the logits: less is rounding
_ERROR = 0.05  # of the mean loss


def _make(bench: Bench) -> Result:
    rows = bench.right[:32]
    calls = np.stack([predict(bench.classifier, bench.images[rows]) for _ in range(_CALLS)]).astype(
        np.float64
    )
    bench.queries += _CALLS * len(rows)
    apart = float(np.abs(calls - calls[0]).max() / max(float(calls[0].std()), 1e-12))
    if apart <= _APART:
        return fine("two calls give the same answer", apart, _APART)
    needed = _samples(calls, bench.labels[rows])
    declared = bench.classifier.stochastic
    averaged = max(bench.attack.samples or 1, bench.classifier.passes) if declared else 1
    if averaged >= needed:
        return fine(
            f"answers are random; the attack averages {averaged} of them, and {needed} are enough "
            "for a standard error of the loss of 5 %",
            needed,
            averaged,
        )
    known = "the attack averages only" if declared else "nobody told the attack, which looks at"
    return Result(
        verdict=Verdict.MASKED if averaged == 1 else Verdict.SUSPECT,
        cause="random answers",
        says=f"answers are random, and {known} {averaged} of them; {needed} are needed for a "
        "standard error of the loss of 5 %",
        figure=needed,
        threshold=averaged,
        calls=(_averaging(bench, needed),),
        declares={} if declared else {"stochastic": True},
    )


def _samples(calls: np.ndarray, labels: np.ndarray) -> int:
    """Return how many calls bring the standard error of the loss below 5 % of it; the median."""
    own = np.take_along_axis(calls, labels[None, :, None], axis=2)[..., 0]
    others = np.where(np.arange(calls.shape[2]) == labels[:, None], -np.inf, calls)
    losses = others.max(axis=2) - own
    deviation, size = losses.std(axis=0, ddof=1), np.abs(losses.mean(axis=0))
    ratio = deviation / np.maximum(_ERROR * size, 1e-12)
    return max(1, min(1000, math.ceil(float(np.median(ratio)) ** 2)))


def _averaging(bench: Bench, needed: int) -> Call:
    samples = max(20, min(needed, 100))
    random = bench.victim.replace(stochastic=True)
    return Call(bench.in_ball("pgd", samples=samples, early_stop=False), random, f"{samples} draws")


RANDOMNESS = Check(
    name="randomness",
    source="Croce & Hein 2020; Athalye et al. 2018",
    make=_make,
    cheap=True,
)
