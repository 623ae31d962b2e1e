"""How densely clean images lie where this one does, in the space of the last hidden layer.

K(x) = log mean over clean x' of the predicted class of N(φ(x); φ(x'), h² I)

Feinman, Curtin, Shintre & Gardner, "Detecting adversarial samples from artifacts" (2017): the
density alone, and with the uncertainty of Monte Carlo dropout by logistic regression.
Departures: the clean images' classes are the predicted ones; the bandwidth is chosen by three-fold
cross-validation over the likelihood, unless it is given; what lies far out is scored by its
distance to the nearest clean image, where the density would underflow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity as Estimator

from tfrobust.audit import clean_predictions
from tfrobust.classifier import Classifier
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.inference import in_batches
from tfrobust.options import option, plugin
from tfrobust.types import Images, PerImage
from tfrobust_uncertainty.logistic import Logistic
from tfrobust_uncertainty.observed import (
    Uncertainty,
    features_of_all,
    rate_option,
    samples_option,
)

_ELSEWHERE = -1e30  # log density of a clean image of another class


def bandwidth_option() -> Any:
    """Return the option `bandwidth`."""
    return option("h, in the unit of the features; none: chosen by likelihood", default=None, gt=0)


@plugin
class KernelDensity(Detector):
    """Kernel density in feature space: suspicious is what lies where no clean image does."""

    bandwidth: float | None = bandwidth_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Remember the clean images' features; see `Detector`."""
        check_both(clean, adversarial)
        return _Density(classifier, clean, self.bandwidth)


@plugin
class DensityAndUncertainty(Detector):
    """Logistic regression on density and uncertainty."""

    bandwidth: float | None = bandwidth_option()
    samples: int = samples_option()
    rate: float | None = rate_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Remember the clean images' features and fit the regression; see `Detector`."""
        check_both(clean, adversarial)
        density = _Density(classifier, clean, self.bandwidth)
        uncertainty = Uncertainty(classifier, self.samples, self.rate)
        return _Both(density, uncertainty, clean, adversarial)


class _Density(FittedDetector):
    """Score: −K(x)."""

    def __init__(self, classifier: Classifier, clean: Images, bandwidth: float | None) -> None:
        super().__init__()
        self.classifier = classifier
        features = features_of_all(classifier, clean)
        self.known = tf.constant(features)
        self.classes = tf.constant(clean_predictions(classifier, clean))
        self.bandwidth = bandwidth or _likeliest_bandwidth(features)

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return −log density among clean images of the predicted class, float32 `(batch,)`."""
        logits = self.classifier(images) if outputs is None else outputs["logits"]
        same = tf.argmax(logits, 1)[:, None] == self.classes[None, :]
        same |= ~tf.reduce_any(same, 1, keepdims=True)  # a class no clean image had: any will do
        apart = _squared_distances(self.classifier.features(images), self.known)
        exponent = tf.where(same, -0.5 * apart / self.bandwidth**2, _ELSEWHERE)
        count = tf.maximum(tf.reduce_sum(tf.cast(same, tf.float32), 1), 1.0)
        units = self.known.shape[1]
        scale = 0.5 * units * math.log(2 * math.pi * self.bandwidth**2)
        return scale + tf.math.log(count) - tf.reduce_logsumexp(exponent, 1)

    def trackables(self) -> list[Any]:
        """Return what the classifier needs kept."""
        return self.classifier.trackables()


class _Both(FittedDetector):
    """Score: the probability of being adversarial."""

    threshold = 0.5

    def __init__(
        self, density: _Density, uncertainty: Uncertainty, clean: Images, adversarial: Images
    ) -> None:
        super().__init__()
        self.density, self.uncertainty = density, uncertainty
        traced = tf.function(self._measured, reduce_retracing=True)
        self.regression = Logistic(in_batches(traced, clean), in_batches(traced, adversarial))

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the regression's probability, float32 `(batch,)`."""
        return self.regression(self._measured(images, outputs))

    def _measured(self, images: Images, outputs: Outputs | None = None) -> Any:
        spread = self.uncertainty(images, outputs)
        return tf.stack([self.density.score(images, outputs), spread], axis=1)

    def trackables(self) -> list[Any]:
        """Return what the classifier and its passes need kept."""
        return [*self.density.trackables(), *self.uncertainty.source.trackables()]


def _squared_distances(a: Any, b: Any) -> Any:
    """Return ‖aᵢ − bⱼ‖², never below zero, `(len(a), len(b))`."""
    squares = tf.reduce_sum(a * a, 1)[:, None] + tf.reduce_sum(b * b, 1)[None, :]
    return tf.maximum(squares - 2.0 * tf.matmul(a, b, transpose_b=True), 0.0)


def _likeliest_bandwidth(features: np.ndarray) -> float:
    """Return the bandwidth under which held-out features are likeliest."""
    spread = max(float(features.std(axis=0).mean()), 1e-6)
    grid = {"bandwidth": spread * np.logspace(-1, 1, 15)}
    folds = min(3, len(features))
    if folds < 2:
        return spread
    found = GridSearchCV(Estimator(), grid, cv=folds).fit(features)
    return float(found.best_params_["bandwidth"])
