"""Checks whether the loss jumps when an image hardly changes."""

from __future__ import annotations

import numpy as np

from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Check, Result, fine, percent
from tfrobust.diagnosis.checks.gradients import by_smoothing
from tfrobust.results.findings import Verdict

_NOISE = 1e-3  # in pixel values
_DRAWS = 16
_SUSPECT = 0.1  # of the loss


def _make(bench: Bench) -> Result:
    rows = bench.right[:32]
    images, labels = bench.images[rows], bench.labels[rows]
    here = _losses(bench, images, labels)
    draw = np.random.default_rng(bench.settings.seed)
    changes = []
    for _ in range(_DRAWS):
        noise = draw.uniform(-_NOISE, _NOISE, images.shape).astype(np.float32)
        there = _losses(bench, np.clip(images + noise, 0.0, 1.0), labels)
        changes.append(np.abs(there - here))
    # Images near the boundary have losses near zero: the typical loss is the unit.
    change = float(np.mean(changes) / max(float(np.abs(here).mean()), 1e-12))
    if change < _SUSPECT:
        return fine(f"noise of 0.001 changes the loss by {percent(change)}", change, _SUSPECT)
    return Result(
        verdict=Verdict.SUSPECT,
        cause="the loss surface is rough",
        says=f"noise of 0.001 in each pixel changes the loss by {percent(change)}: a gradient says "
        "nothing of the next step",
        figure=change,
        threshold=_SUSPECT,
        calls=(by_smoothing(bench),) if bench.has_gradients else (),
    )


def _losses(bench: Bench, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = bench.logits(images).astype(np.float64)
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    logits[np.arange(len(labels)), labels] = -np.inf
    return logits.max(axis=1) - own


SURFACE = Check(
    name="loss surface", source="Pintor et al. 2022", make=_make, repeated=True, cheap=True
)
