"""The figures of certificates: from radii to a line of `certificates.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfrobust.certification.measuring import Measured
from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.data.shifted import base_and_shift
from tfrobust.registry import name_of, signature
from tfrobust.results.certificates import CertifiedWithin
from tfrobust.results.metrics import share, summary
from tfrobust.results.proportions import Proportion, Spread
from tfrobust.results.records import ClassifierRecord, ScenarioRecord
from tfrobust.scenario import Scenario
from tfrobust.types import Flags, PerImage

_UNLIKELY = 1e-3  # below it, so many wrong radii are no chance
_ROUNDING = 1e-6  # of distances and radii, as where attacks are judged


def figures(certifier: Certifier, measured: Measured, eps: Sequence[float]) -> dict[str, Any]:
    """Return the fields of a `CertificateResult`, without contradictions.

    Args:
        certifier: with its options.
        measured: what it proved.
        eps: radii at which certified accuracy is told.
    """
    radii = np.asarray(measured.radii, np.float64)
    found = measured.least
    return {
        **signature(certifier),
        "norm": certifier.norm,
        "confidence": certifier.confidence,
        "within": [
            CertifiedWithin(eps=radius, **dict(Proportion.of(certified_within(radii, radius))))
            for radius in eps
        ],
        "certified": share(radii > 0),
        "abstained": share(measured.abstained),
        "radius": Spread(**summary(radii[radii > 0])),
        "average_radius": float(radii.mean()),
        "least": None if found is None else Spread(**summary(found[np.isfinite(found)])),
        "complete": None if measured.complete is None else share(measured.complete),
        "passes_per_image": certifier.passes,
        "seconds": round(measured.seconds, 3),
    }


def certified_within(radii: PerImage, eps: float) -> Flags:
    """Return which images are certified within a radius, but for the rounding of float32."""
    return np.asarray(radii, np.float64) >= eps * (1.0 - 1e-7)


def contradicted(radii: PerImage, distance: PerImage, wrong: Flags) -> Flags:
    """Return which images are answered wrongly at a distance that their radius excludes.

    Args:
        radii: `(n,)`.
        distance: `(n,)`: of the images that were asked about, in the norm of the radii.
        wrong: bool `(n,)`: those that are answered wrongly.
    """
    radii = np.asarray(radii, np.float64)
    return wrong & (radii > 0) & (distance < radii - _ROUNDING * np.maximum(1.0, radii))


def counted(certifier: Certifier, against: Flags, *, stochastic: bool) -> dict[str, int]:
    """Return how many images contradict a certifier, as `contradictions` or as `by_chance`.

    Radii that hold with a probability may be wrong as often as that: of n images, by chance, a
    binomial number. More than has a probability of 0.001 are contradictions. The images without a
    radius count among the n, since the probability is that of an image and not of a radius. A
    classifier that answers at random answers otherwise more often near the boundary, by how much
    nothing bounds, and is not judged.

    Args:
        certifier: with its options.
        against: bool `(n,)`: of all images that were certified, those that are answered wrongly
            within their radius.
        stochastic: whether the classifier answers at random.

    Example:
        >>> counted(smoothing, np.arange(1000) < 20, stochastic=False)  # at confidence 0.999
        {'contradictions': 20}
    """
    count = int(against.sum())
    chance = stochastic or certifier.confidence is not None
    if not stochastic and certifier.confidence is not None and count:
        test = stats.binomtest(
            count, len(against), 1.0 - certifier.confidence, alternative="greater"
        )
        chance = test.pvalue >= _UNLIKELY
    return {"by_chance" if chance else "contradictions": count}


def classifier_record(name: str, classifier: Classifier, classes: Sequence[str]) -> Any:
    """Return whose answers were certified."""
    return ClassifierRecord(
        name=name,
        path=classifier.source,
        num_classes=classifier.num_classes,
        image_shape=classifier.image_shape,
        defenses=list(classifier.defenses),
        class_names=(*classes, *classifier.class_names[len(classes) :]),
    )


def scenario_record(scenario: Scenario, split: str, images: int, seed: int) -> ScenarioRecord:
    """Return on which images something was certified."""
    base, shift = base_and_shift(scenario)
    return ScenarioRecord(name=name_of(base), shift=shift, split=split, images=images, seed=seed)
