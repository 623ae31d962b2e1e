"""Checks whether the answer to an image depends on the other images of the batch."""

from __future__ import annotations

import numpy as np

from tfrobust.classifiers.inference import forward
from tfrobust.classifiers.random_state import reseed
from tfrobust.diagnosis.bench import APART, Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable
from tfrobust.diagnosis.victims import AmongOthers
from tfrobust.results.findings import Verdict
from tfrobust.types import Images, Logits

_SHARED, _OTHERS = 8, 12


def _make(bench: Bench) -> Result:
    needed = _SHARED + 2 * _OTHERS
    if len(bench.images) < needed:
        return not_applicable(f"it takes {needed} images")
    shared = bench.images[:_SHARED]
    among = [bench.images[_SHARED : _SHARED + _OTHERS], bench.images[_SHARED + _OTHERS : needed]]
    one, other = (_answers(bench, np.concatenate([shared, others])) for others in among)
    apart = _difference(one, other)
    if apart <= APART:
        return fine("answers do not depend on the other images of the batch", apart, APART)
    victim = AmongOthers(bench.victim, bench.images)
    calls = (Call(bench.in_ball("pgd"), victim, "clean images in the same batch"),)
    return Result(
        verdict=Verdict.MASKED,
        cause="answers depend on the batch",
        says=f"other images in the batch change the logits by {apart:.2g} of their spread (batch "
        "normalisation by the statistics of the batch?): gradients run through the other images",
        figure=apart,
        threshold=APART,
        calls=calls if bench.has_gradients else (),
        declares={"batch_dependent": True},
    )


def _answers(bench: Bench, images: Images) -> Logits:
    bench.queries += len(images)
    reseed(bench.classifier, bench.settings.seed, "batch")
    return np.asarray(forward(bench.classifier)(images))[:_SHARED]


def _difference(one: Logits, other: Logits) -> float:
    return float(np.abs(one - other).max() / max(float(one.std()), 1e-12))


BATCH = Check(
    name="batch",
    source="Carlini et al. 2019; Ioffe & Szegedy 2015",
    make=_make,
    repeated=True,
    cheap=True,
)
