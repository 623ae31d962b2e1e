"""Detectors that use only the variance of Monte Carlo passes.

| plugin | score | boundary |
|---|---|---|
| `variance_threshold` | the uncertainty u | the best on the images it was fitted on |
| `variance_logistic` | σ(w u + b), logistic regression | 1/2 |
| `mixture` | p(adversarial given u): clean ~ exponential, adversarial ~ Gaussian | 1/2 |

Guan, "Adversarial example defense and detection using quantized neural networks with inference
time dropout": the regression, and the mixture as its future work. Departures: the regression's
input is standardised; the mixture's two parts are fitted by maximum likelihood to clean and to
adversarial images separately, with equal weights, since both are known.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.detector import Detector, FittedDetector, check_both
from tfrobust.options import plugin
from tfrobust.types import Images, PerImage
from tfrobust_uncertainty.logistic import Logistic
from tfrobust_uncertainty.observed import (
    LooksAtUncertainty,
    Uncertainty,
    rate_option,
    samples_option,
)

_LEAST = 1e-12  # a mean or deviation of zero has no likelihood


@plugin
class VarianceThreshold(Detector):
    """The uncertainty itself: images on which the passes disagree are suspicious."""

    samples: int = samples_option()
    rate: float | None = rate_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Return the detector; nothing is learned but the boundary. See `Detector`."""
        check_both(clean, adversarial)
        return LooksAtUncertainty(Uncertainty(classifier, self.samples, self.rate))


@plugin
class VarianceLogistic(Detector):
    """Logistic regression on the uncertainty."""

    samples: int = samples_option()
    rate: float | None = rate_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Fit the regression; see `Detector`."""
        check_both(clean, adversarial)
        uncertainty = Uncertainty(classifier, self.samples, self.rate)
        return _Logistic(uncertainty, uncertainty.of_all(clean), uncertainty.of_all(adversarial))


@plugin
class Mixture(Detector):
    """A mixture of an exponential (clean) and a Gaussian (adversarial) over the uncertainty."""

    samples: int = samples_option()
    rate: float | None = rate_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Fit both parts by maximum likelihood; see `Detector`."""
        check_both(clean, adversarial)
        uncertainty = Uncertainty(classifier, self.samples, self.rate)
        return _Mixture(uncertainty, uncertainty.of_all(clean), uncertainty.of_all(adversarial))


class _Logistic(LooksAtUncertainty):
    threshold = 0.5

    def __init__(
        self, uncertainty: Uncertainty, clean: np.ndarray, adversarial: np.ndarray
    ) -> None:
        super().__init__(uncertainty)
        self.regression = Logistic(clean[:, None], adversarial[:, None])

    def of(self, uncertainty: PerImage) -> PerImage:
        """Return the probability of being adversarial."""
        return self.regression(uncertainty[:, None])


class _Mixture(LooksAtUncertainty):
    threshold = 0.5

    def __init__(
        self, uncertainty: Uncertainty, clean: np.ndarray, adversarial: np.ndarray
    ) -> None:
        super().__init__(uncertainty)
        self.rate = 1.0 / max(float(clean.mean()), _LEAST)
        self.mean = float(adversarial.mean())
        self.deviation = max(float(adversarial.std()), _LEAST)

    def of(self, uncertainty: PerImage) -> PerImage:
        """Return N(u; μ, s²) / (N(u; μ, s²) + λ exp(−λ u))."""
        away = (uncertainty - self.mean) / self.deviation
        gaussian = -0.5 * tf.square(away) - math.log(self.deviation * math.sqrt(2 * math.pi))
        exponential = math.log(self.rate) - self.rate * uncertainty
        return tf.sigmoid(gaussian - exponential)
