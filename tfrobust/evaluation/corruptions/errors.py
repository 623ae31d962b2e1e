"""The mean corruption error, from evaluations.

E(c, s): the share of images classified wrongly under corruption c at severity s.

mCE = mean over c of the mean over s of E(c, s)

and, with a baseline classifier b, what the paper calls the corruption error and the relative one:

CE(c) = Σ_s E(c, s) / Σ_s E_b(c, s);  relative CE(c) = Σ_s (E(c, s) − E) / Σ_s (E_b(c, s) − E_b)

E, E_b the clean errors; both mCE are means over c. The paper's baseline is AlexNet, on ImageNet; on
CIFAR-10-C mCE is mostly given without one.

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (2019). Departures: none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrobust.results.corruption_errors import CorruptionErrors
from tfrobust.results.records import Evaluation


def corruption_errors(
    evaluations: Sequence[Evaluation], baseline: str | None = None
) -> list[CorruptionErrors]:
    """Work out the mean corruption error of every classifier.

    Args:
        evaluations: of each classifier on the clean scenario and under shifts `name.severity`.
        baseline: name of the classifier to divide by, or `None`.

    Returns:
        One record a classifier, in their order.
    """
    names = dict.fromkeys(evaluation.classifier.name for evaluation in evaluations)
    errors = {name: _errors(name, evaluations) for name in names}
    if baseline is None:
        return list(errors.values())
    return [_divided(record, errors[baseline]) for record in errors.values()]


def _errors(name: str, evaluations: Sequence[Evaluation]) -> CorruptionErrors:
    clean, by_severity = float("nan"), dict[str, dict[int, float]]()
    for evaluation in evaluations:
        if evaluation.classifier.name != name:
            continue
        error = 1.0 - evaluation.clean.accuracy
        if evaluation.scenario.shift is None:
            clean = error
        else:
            shift, _, severity = evaluation.scenario.shift.rpartition(".")
            by_severity.setdefault(shift, {})[int(severity)] = error
    errors = {shift: [e[s] for s in sorted(e)] for shift, e in by_severity.items()}
    mean = {shift: float(np.mean(several)) for shift, several in errors.items()}
    mce = float(np.mean(list(mean.values())))
    return CorruptionErrors(classifier=name, clean=clean, errors=errors, mean=mean, mce=mce)


def _divided(of: CorruptionErrors, by: CorruptionErrors) -> CorruptionErrors:
    """Return a record with the ratios to the baseline's errors."""
    ratio = {name: _share(of.mean[name], by.mean[name]) for name in of.mean}
    relative = [_share(of.mean[name] - of.clean, by.mean[name] - by.clean) for name in of.mean]
    more = {
        "baseline": by.classifier,
        "ratio": ratio,
        "mce_ratio": _mean(list(ratio.values())),
        "relative_mce_ratio": _mean(relative),
    }
    return of.model_copy(update=more)


def _share(error: float, baseline: float) -> float | None:
    # A corruption that costs the baseline nothing, or that helps it, is no measure of others.
    return error / baseline if baseline > 0 else None


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if len(known) == len(shares) else None
