"""The checks that take a few passes and run no attack, for every evaluation."""

from __future__ import annotations

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.diagnosing import CHECKS, made
from tfrobust.diagnosis.settings import NORMS, DiagnosisSettings
from tfrobust.results.findings import Signs
from tfrobust.types import Images, Labels

_RADIUS = 0.1  # in pixel values, where no attack has a budget
MOST = 64  # images that are looked at


def look_for_signs(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    attack: Attack | None = None,
    *,
    known_classes: int | None = None,
    seed: int = 0,
) -> Signs:
    """Look for signs of masked gradients: about 75 passes of each of 32 images, and no attack.

    Args:
        classifier: that is attacked.
        images: float32 `(n, height, width, channels)` in [0, 1]; the first 64 are taken.
        labels: int64 `(n,)`.
        attack: whose budget and number of averaged draws are meant; `None`: 0.1 in Linf.
        known_classes: of the scenario; `None`: all of the classifier's.
        seed: decides everything random.

    Returns:
        A finding a check; none where no image is classified correctly.

    Example:
        >>> look_for_signs(load("d1"), images, labels).line
        'nothing suspicious found by 5 checks'
    """
    bench = Bench(
        classifier,
        images[:MOST],
        labels[:MOST],
        known_classes or classifier.num_classes,
        _settings(attack, seed),
    )
    if not len(bench.right):
        return Signs(findings=[])
    bench.attack = attack or bench.in_ball("pgd" if bench.has_gradients else "square")
    cheap = (check for check in CHECKS if check.cheap)
    return Signs(findings=[check.finding(made(bench, check)) for check in cheap])


def _settings(attack: Attack | None, seed: int) -> DiagnosisSettings:
    """Return the ball of the attack, where it has one that can be diagnosed."""
    norm = None if attack is None else attack.threat.norm
    budget = None if attack is None else attack.budget
    if norm in NORMS and budget:
        return DiagnosisSettings(eps=budget, norm=norm, seed=seed)
    return DiagnosisSettings(eps=_RADIUS, seed=seed)
