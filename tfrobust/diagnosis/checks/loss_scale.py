"""Checks whether cross-entropy is saturated, and whether a loss that cannot be finds more."""

from __future__ import annotations

import numpy as np

from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, percent
from tfrobust.diagnosis.probes import Loss, gradients
from tfrobust.results.findings import Verdict

_SATURATED = 0.05  # of the images


def _make(bench: Bench) -> Result:
    rows = bench.right[:64]
    vanished = _zero(bench, rows, "cross-entropy") & ~_zero(bench, rows, "margin")
    share = float(vanished.mean())
    call = Call(bench.in_ball("apgd_dlr", steps=100), None, "a loss without scale")
    if share >= _SATURATED:
        return Result(
            verdict=Verdict.MASKED,
            cause="cross-entropy is saturated",
            says=f"the gradient of cross-entropy is zero at {percent(share)} of the images, where "
            "that of the margin is not: an attack by cross-entropy stands still",
            figure=share,
            threshold=_SATURATED,
            calls=(call,),
        )
    margin = bench.by_margin
    pair = bench.compare(
        bench.control.broken if margin is None else margin.broken, bench.control.broken
    )
    if pair.is_certain:
        return Result(
            verdict=Verdict.SUSPECT,
            cause="the loss of the attack",
            says=f"the margin breaks {pair.more} images of {pair.images} that the attack cannot, "
            f"and the attack again breaks {pair.less} others",
            figure=pair.gain,
            threshold=0.0,
            calls=(call,),
        )
    return fine(
        f"cross-entropy has a gradient, and the margin breaks {pair.more} of {pair.images} images "
        f"that the attack left, the attack again {pair.less} others",
        share,
        _SATURATED,
    )


def _zero(bench: Bench, rows: np.ndarray, loss: Loss) -> np.ndarray:
    found = gradients(bench.victim, bench.images[rows], bench.labels[rows], loss)
    bench.gradients += len(rows)
    return np.asarray((found.reshape(len(rows), -1) == 0).all(axis=1))


LOSS_SCALE = Check(
    name="loss scale",
    source="Carlini & Wagner 2017",
    make=_make,
    gradients=True,
)
