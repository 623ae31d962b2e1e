"""Checks whether the attack only gets itself rejected, where a classifier rejects images."""

from __future__ import annotations

import numpy as np

from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable, percent
from tfrobust.diagnosis.pairs import compare
from tfrobust.results.findings import Verdict

_REJECTED = 0.05  # of the attacked images


def _make(bench: Bench) -> Result:
    if bench.classifier.num_classes <= bench.known_classes:
        return not_applicable("the classifier has no class that rejects images")
    attacked = bench.attacked
    predicted = bench.predicted(np.clip(attacked.images, 0.0, 1.0))
    rejected = float((predicted >= bench.known_classes).mean()) if len(predicted) else 0.0
    towards = bench.in_ball("pgd", targeted=True, loss="margin", steps=40)
    rows = bench.unbroken
    targets = likeliest_others(bench, rows)
    pair = compare(bench.run(towards, rows, labels=targets).broken, bench.control.broken)
    if not pair.is_certain:
        return fine(
            f"{percent(rejected)} of the attacked images are rejected, and an attack that avoids "
            "rejection finds no more",
            rejected,
            _REJECTED,
        )
    return Result(
        verdict=Verdict.MASKED,
        cause="the attack only gets itself rejected",
        says=f"{percent(rejected)} of the attacked images are rejected; an attack that aims at "
        f"another known class breaks {pair.more} of {pair.images} images that were left",
        figure=rejected,
        threshold=_REJECTED,
        calls=(Call(towards, follows="the likeliest other known class"),),
    )


def likeliest_others(bench: Bench, rows: np.ndarray) -> np.ndarray:
    """Return the likeliest known class of each image but for its label, int64 `(n,)`."""
    logits = bench.logits(bench.images[rows])[:, : bench.known_classes].copy()
    logits[np.arange(len(rows)), bench.labels[rows]] = -np.inf
    return logits.argmax(axis=1)


REJECTION = Check(name="rejection", source="Tramèr et al. 2020", make=_make, gradients=True)
