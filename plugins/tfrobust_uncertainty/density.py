"""The density of clean images around an image, in the space of the last hidden layer.

K(x) = log mean over clean x' of the predicted class of N(φ(x); φ(x'), h² I)

Feinman, Curtin, Shintre & Gardner, "Detecting adversarial samples from artifacts" (2017): the
density alone, and with the uncertainty of Monte Carlo dropout by logistic regression.
Departures: the clean images' classes are the predicted ones; the default bandwidth maximises the
likelihood of each clean image under the others of its class; boundary and regression are fitted to
the densities of held-out images (`held_out`), because a remembered image is nearest to itself; an
image far out, whose density would underflow, is scored by its distance to the nearest clean image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.evaluation.detection import best_threshold
from tfrobust.options import option, plugin
from tfrobust.types import Images, PerImage
from tfrobust_uncertainty.held_out import Remembering, held_out_scores
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
    """Kernel density in feature space: images far from clean ones are suspicious."""

    bandwidth: float | None = bandwidth_option()

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Remember the clean images' features; see `Detector`."""
        check_both(clean, adversarial)
        return _Density(classifier, clean, self.bandwidth, bounded_by=adversarial)


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


class _Density(Remembering):
    """Score: −K(x).

    Args:
        classifier: whose features.
        clean: the images that it remembers.
        bandwidth: h; `None`: the likeliest.
        bounded_by: the adversarial images that decide its boundary; `None`: it has none.
    """

    def __init__(
        self,
        classifier: Classifier,
        clean: Images,
        bandwidth: float | None,
        *,
        bounded_by: Images | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        features, classes = features_of_all(classifier, clean), clean_predictions(classifier, clean)
        self._all = features, classes
        self.known = tf.Variable(features, shape=(None, features.shape[1]), trainable=False)
        self.classes = tf.Variable(classes, shape=(None,), trainable=False)
        self.bandwidth = bandwidth or _likeliest_bandwidth(features, classes)
        if bounded_by is not None:
            self.threshold = best_threshold(
                *held_out_scores(self, clean, bounded_by, whole=classifier.batch_dependent)
            )

    def remember(self, rows: np.ndarray) -> None:
        """Take the density of these clean images alone."""
        features, classes = self._all
        self.known.assign(features[rows])
        self.classes.assign(classes[rows])

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
        whole = density.classifier.batch_dependent
        held_out = held_out_scores(density, clean, adversarial, whole=whole)
        kinds = zip((clean, adversarial), held_out, strict=True)
        self.regression = Logistic(
            *(np.stack([score, uncertainty.of_all(images)], axis=1) for images, score in kinds)
        )

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the regression's probability, float32 `(batch,)`."""
        spread = self.uncertainty(images, outputs)
        return self.regression(tf.stack([self.density.score(images, outputs), spread], axis=1))

    def trackables(self) -> list[Any]:
        """Return what the classifier and its passes need kept."""
        return [*self.density.trackables(), *self.uncertainty.source.trackables()]


def _squared_distances(a: Any, b: Any) -> Any:
    """Return ‖aᵢ − bⱼ‖², never below zero, `(len(a), len(b))`."""
    squares = tf.reduce_sum(a * a, 1)[:, None] + tf.reduce_sum(b * b, 1)[None, :]
    return tf.maximum(squares - 2.0 * tf.matmul(a, b, transpose_b=True), 0.0)


def _likeliest_bandwidth(features: np.ndarray, classes: np.ndarray) -> float:
    """Return the h under which each image's features are likeliest among the others of its class.

    argmax over h of Σᵢ log Σ over j ≠ i of i's class of N(φᵢ; φⱼ, h² I)
    """
    groups = [features[classes == c].astype(np.float64) for c in np.unique(classes)]
    spread = np.sqrt(np.mean(np.concatenate([group - group.mean(0) for group in groups]) ** 2))
    grid = max(float(spread), 1e-6) * np.logspace(-1, 1, 15)
    likelihood = np.zeros(len(grid))
    for group in groups:
        if len(group) < 2:
            continue
        apart = _squared_distances(tf.constant(group), tf.constant(group)).numpy()
        np.fill_diagonal(apart, np.inf)
        likelihood += [
            logsumexp(-0.5 * apart / h**2, axis=1).sum() - group.size * np.log(h) for h in grid
        ]
    return float(grid[likelihood.argmax()]) if likelihood.any() else float(grid[len(grid) // 2])
