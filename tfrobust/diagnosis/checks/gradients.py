"""Checks that there are gradients at all: at the images, and at random points near them."""

from __future__ import annotations

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.diagnosis import victims
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable, percent
from tfrobust.diagnosis.probes import Loss, gradients
from tfrobust.engine.victim import Surrogate
from tfrobust.errors import UsageError
from tfrobust.results.findings import Verdict
from tfrobust.types import Images

_SUSPECT, _MASKED = 0.01, 0.05  # of the images
_LOSSES: tuple[Loss, ...] = ("log odds", "margin")


def _make(bench: Bench) -> Result:
    rows = bench.right[:64]
    victim = bench.victim
    if not victim.differentiable:
        return not_applicable("the classifier says itself that its gradients mean nothing")
    if not bench.has_gradients:
        says = "no gradient reaches the image: something on the way has none"
        return _without(bench, "gradients are missing", 1.0, says)
    if _answers_in_probabilities(bench):
        says = "the answers are probabilities, whose differences round to zero: logits are needed"
        return _without(bench, "answers are probabilities", 1.0, says)
    zero = broken = 0.0
    for images in (bench.images[rows], _near(bench, rows)):
        for loss in _LOSSES:
            found = gradients(victim, images, bench.labels[rows], loss)
            bench.gradients += len(rows)
            flat = found.reshape(len(rows), -1)
            zero = max(zero, float((flat == 0).all(axis=1).mean()))
            broken = max(broken, float((~np.isfinite(flat)).any(axis=1).mean()))
    worst = max(zero, broken)
    if worst < _SUSPECT:
        return fine("every image has a finite gradient that is not zero", worst, _SUSPECT)
    what = "gradients are zero" if zero >= broken else "gradients are not finite"
    return _without(bench, what, worst, f"{what} at {percent(worst)} of the images")


def _near(bench: Bench, rows: np.ndarray) -> Images:
    draw = np.random.default_rng(bench.settings.seed)
    shape = (len(rows), *bench.classifier.image_shape)
    radius = 0.5 * radius_in_pixels(bench)
    noise = draw.uniform(-radius, radius, shape).astype(np.float32)
    return np.clip(bench.images[rows] + noise, 0.0, 1.0)


def radius_in_pixels(bench: Bench) -> float:
    """Return the largest change of every pixel at once that stays in the ball."""
    settings = bench.settings
    pixels = float(np.prod(bench.classifier.image_shape))
    return settings.eps / {"linf": 1.0, "l2": pixels**0.5, "l1": pixels}[settings.norm]


def _without(bench: Bench, cause: str, figure: float, says: str) -> Result:
    return Result(
        verdict=Verdict.MASKED if figure >= _MASKED else Verdict.SUSPECT,
        cause=cause,
        says=says,
        figure=figure,
        threshold=_SUSPECT,
        calls=(
            *_logarithm(bench, cause),
            *(by_surrogate(bench) or by_inner(bench)),
            *without_gradients(bench),
        ),
    )


def _answers_in_probabilities(bench: Bench) -> bool:
    logits = bench.logits(bench.images[bench.right[:64]])
    return bool((logits >= 0).all() and np.allclose(logits.sum(axis=1), 1.0, atol=1e-3))


def _logarithm(bench: Bench, cause: str) -> tuple[Call, ...]:
    if cause != "answers are probabilities":
        return ()
    logs: Classifier = victims.LogProbabilities(bench.victim)
    return (Call(bench.in_ball("pgd", loss="margin"), logs, "the logarithm of the answers"),)


def by_smoothing(bench: Bench) -> Call:
    """Return PGD along gradients that are averaged over noise."""
    radius = 0.25 * radius_in_pixels(bench)
    smooth: Classifier = victims.NoiseAveraged(bench.victim, radius, 16, bench.settings.seed)
    return Call(
        bench.in_ball("pgd", loss="margin"),
        Surrogate(bench.classifier, smooth),
        "gradients averaged over noise",
    )


def by_surrogate(bench: Bench) -> tuple[Call, ...]:
    """Return PGD along the surrogate that the classifier's defences declare, if there is one."""
    surrogate = bench.classifier.surrogate
    if surrogate is None:
        return ()
    attack = bench.in_ball("pgd", loss="margin")
    return (Call(attack, Surrogate(bench.classifier, surrogate), "the surrogate of its defences"),)


def by_inner(bench: Bench) -> tuple[Call, ...]:
    """Return PGD along the gradients of what a classifier is put around: BPDA by the identity."""
    classifier, inner = bench.classifier, bench.classifier.inner
    if inner is None or not inner.differentiable or inner.num_classes != classifier.num_classes:
        return ()
    attack = bench.in_ball("pgd", loss="margin")
    return (Call(attack, Surrogate(classifier, inner), "the gradients of what is inside (BPDA)"),)


def without_gradients(bench: Bench) -> tuple[Call, ...]:
    """Return the attack that needs no gradient, where one knows the norm."""
    queries = 2000 if bench.settings.thorough else 1000
    try:
        return (Call(bench.in_ball("square", queries=queries)),)
    except UsageError:
        return ()


GRADIENTS = Check(
    name="gradients",
    source="Pintor et al. 2022; Croce & Hein 2020",
    make=_make,
    cheap=True,
)
