"""Images of a linear classifier, ready to be diagnosed."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.settings import DiagnosisSettings
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

LINEAR = LinearClassifier()
IMAGES, LABELS = grey_images(LINEAR, 64)
LEAST = LINEAR.least_perturbation(IMAGES, LABELS, "linf")
EPS = float(np.median(LEAST))  # half of the images can be broken


def bench_of(
    classifier: Classifier = LINEAR, attack: Attack | None = None, **settings: Any
) -> Bench:
    """Return the bench of a classifier that answers like `LINEAR`, attacked already."""
    options = {"eps": EPS, "norm": "linf", "images": 64} | settings
    settings_ = DiagnosisSettings(attack=attack, **options)
    bench = Bench(classifier, IMAGES, LABELS, LINEAR.num_classes, settings_)
    if attack is None:
        name, own = (
            ("pgd", {"loss": "margin"}) if bench.has_gradients else ("square", {"queries": 50})
        )
        attack = create("attacks", name, eps=settings_.eps, norm=settings_.norm, **own)
    bench.attack_first(attack)
    return bench
