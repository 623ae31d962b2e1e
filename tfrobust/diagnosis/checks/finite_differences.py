"""Does the backward pass tell how the answers change? It is compared with the change itself."""

from __future__ import annotations

import numpy as np

from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine, not_applicable
from tfrobust.diagnosis.checks.gradients import (
    by_inner,
    by_smoothing,
    by_surrogate,
    without_gradients,
)
from tfrobust.diagnosis.probes import Slopes, slopes
from tfrobust.results.findings import Verdict

_IMAGES, _DIRECTIONS = 16, 32
_STEP = 1e-3  # in pixel values
_SUSPECT, _MASKED = 0.9, 0.7  # of the cosine, the median over images
_ROUNDING = 1e-6  # of the largest logit
_SCALED = 10.0  # by which a gradient may be too long or too short


def _make(bench: Bench) -> Result:
    classifier = bench.classifier
    if not classifier.differentiable:
        return not_applicable("the classifier says itself that its gradients mean nothing")
    rows = bench.right[:_IMAGES]
    found = slopes(
        classifier,
        bench.images[rows],
        bench.labels[rows],
        step=_STEP,
        directions=_DIRECTIONS,
        seed=bench.settings.seed,
    )
    bench.queries += (2 * _DIRECTIONS + 1) * len(rows)
    bench.gradients += len(rows)
    cosine, scale = _agreement(found, joint=classifier.batch_dependent)
    if cosine is None:
        return not_applicable("the answers do not change, and the gradient says so")
    return _judged(bench, cosine, scale)


def _judged(bench: Bench, cosine: float, scale: float) -> Result:
    if cosine < _SUSPECT:
        return Result(
            verdict=Verdict.MASKED if cosine < _MASKED else Verdict.SUSPECT,
            cause="gradients do not tell how answers change",
            says=f"the gradient and the change of the answers have a cosine of {cosine:.2f} "
            "(1: the gradient is right): it is shattered, incomplete, or replaced by another",
            figure=cosine,
            threshold=_SUSPECT,
            calls=(
                by_smoothing(bench),
                *(by_surrogate(bench) or by_inner(bench)),
                *without_gradients(bench),
            ),
        )
    if not 1 / _SCALED < scale < _SCALED:
        return Result(
            verdict=Verdict.MASKED,
            cause="gradients of another size",
            says=f"answers change {scale:.3g} times as much as the gradient says: attacks whose "
            "steps depend on its length fail",
            figure=scale,
            threshold=_SCALED,
            calls=(Call(bench.in_ball("apgd_ce", steps=100)),),
        )
    return fine(
        f"the gradient tells how the answers change (cosine {cosine:.2f})", cosine, _SUSPECT
    )


def _agreement(found: Slopes, *, joint: bool) -> tuple[float | None, float]:
    """Return the cosine between told and measured slopes, and their ratio; medians over images.

    Where the answers of a batch depend on one another, only the slope of their sum is told.
    """
    told, measured = found.told, found.measured
    if joint:
        told, measured = told.sum(axis=1, keepdims=True), measured.sum(axis=1, keepdims=True)
    told = np.nan_to_num(told, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(told, axis=0), np.linalg.norm(measured, axis=0)
    # What is less than the logits' own rounding cannot be measured.
    rounding = _ROUNDING * found.size * np.sqrt(len(told)) / _STEP
    moves = (lengths[0] > rounding) | (lengths[1] > rounding)
    if not moves.any():
        return None, 1.0
    product = (told * measured).sum(axis=0)
    both = np.maximum(lengths[0] * lengths[1], 1e-30)
    cosine = np.where((lengths[0] > 0) & (lengths[1] > 0), product / both, 0.0)[moves]
    scale = (lengths[1] / np.maximum(lengths[0], 1e-30))[moves]
    return float(np.median(cosine)), float(np.median(scale))


FINITE_DIFFERENCES = Check(
    name="finite differences",
    source="Athalye et al. 2018",
    make=_make,
    gradients=True,
    repeated=True,
    cheap=True,
)
