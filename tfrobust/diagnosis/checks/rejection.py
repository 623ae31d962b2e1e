"""Checks whether the attack only gets itself rejected, where a classifier rejects images."""

from __future__ import annotations

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable, percent
from tfrobust.diagnosis.targets import likeliest_others
from tfrobust.engine.victim import Surrogate
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
    targets, victim = likeliest_others(bench, rows), _followed(bench)
    knowing = bench.run(towards, rows, on=victim, labels=targets)
    pair = bench.compare(knowing.broken, bench.control.broken)
    if not pair.is_certain:
        return fine(
            f"{percent(rejected)} of the attacked images are rejected, and an attack that avoids "
            f"rejection breaks {pair.more} of {pair.images} images that were left, and the attack "
            f"again {pair.less} others",
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
        calls=(Call(towards, victim, "the likeliest other known class"),),
    )


def _followed(bench: Bench) -> Classifier:
    """Return what somebody follows who knows what rejects: it, or its surrogate."""
    classifier = bench.classifier
    if classifier.surrogate is None:
        return bench.victim
    return Surrogate(classifier, classifier.surrogate)


REJECTION = Check(name="rejection", source="Tramèr et al. 2020", make=_make, gradients=True)
