"""Distance to the nearest class, by the covariance of the features within the classes.

M(x) = min over classes c of (φ(x) − μ_c)ᵀ Σ⁻¹ (φ(x) − μ_c)

Lee, Lee, Lee & Shin, "A simple unified framework for detecting out-of-distribution samples and
adversarial attacks" (2018). Score: M(x), after the paper's step x − magnitude · sign(∇ M) towards
the nearest class. Departures: only the last hidden layer, where the paper weights all of them; the
classes of the clean images are the predicted ones; the covariance is shrunk (Ledoit & Wolf 2004),
so that fewer images than features are enough; the boundary is the best one for held-out images
(`held_out`), because the fitted images are nearer to their own means than new ones are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.covariance import LedoitWolf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.errors import DataError
from tfrobust.evaluation.detection import best_threshold
from tfrobust.options import option, plugin
from tfrobust.types import Images, PerImage
from tfrobust_uncertainty.held_out import Remembering, held_out_scores
from tfrobust_uncertainty.observed import features_of_all


@plugin
class Mahalanobis(Detector):
    """Mahalanobis distance of the last hidden layer to the nearest class."""

    magnitude: float = option(
        "step towards the nearest class before measuring; 0: no step",
        default=0.0,
        ge=0,
        le=1,
    )

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Fit a Gaussian to each class, with one covariance; see `Detector`."""
        check_both(clean, adversarial)
        return _Mahalanobis(classifier, clean, adversarial, self.magnitude)


class _Mahalanobis(Remembering):
    def __init__(
        self, classifier: Classifier, clean: Images, adversarial: Images, magnitude: float
    ) -> None:
        super().__init__()
        self.classifier, self.magnitude = classifier, magnitude
        features, classes = features_of_all(classifier, clean), clean_predictions(classifier, clean)
        self._all = features.astype(np.float64), classes
        units = features.shape[1]
        self.root = tf.Variable(tf.zeros((units, units)), trainable=False)
        self.means = tf.Variable(tf.zeros((0, units)), shape=(None, units), trainable=False)
        self.remember(np.ones(len(clean), bool))
        self.threshold = best_threshold(*held_out_scores(self, clean, adversarial))

    def remember(self, rows: np.ndarray) -> None:
        """Fit the Gaussians to these clean images alone."""
        features, classes = self._all[0][rows], self._all[1][rows]
        means = np.stack([features[classes == c].mean(axis=0) for c in np.unique(classes)])
        centred = features - means[np.searchsorted(np.unique(classes), classes)]
        precision = LedoitWolf(assume_centered=True).fit(centred).precision_
        # With L Lᵀ = Σ⁻¹ the distance is a plain one between φ L and μ L, never negative.
        lifted = precision + 1e-9 * np.trace(precision) * np.eye(len(precision))
        try:
            root = np.linalg.cholesky(lifted)
        except np.linalg.LinAlgError as error:  # no class has two images that differ
            raise DataError(
                f"mahalanobis: {len(features)} clean images of {len(means)} classes do not tell "
                "how features spread; show it more (--limit)"
            ) from error
        self.root.assign(root.astype(np.float32))
        self.means.assign((means @ root).astype(np.float32))

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the squared distance, float32 `(batch,)`."""
        if self.magnitude:
            with tf.GradientTape() as tape:
                tape.watch(images)
                distance = self._distance(images)
            step = self.magnitude * tf.sign(tape.gradient(distance, images))
            images = tf.clip_by_value(images - step, 0.0, 1.0)
        return self._distance(images)

    def _distance(self, images: Images) -> PerImage:
        whitened = self.classifier.features(images) @ self.root
        apart = whitened[:, None, :] - self.means[None, :, :]
        return tf.reduce_min(tf.reduce_sum(tf.square(apart), 2), 1)

    def trackables(self) -> list[Any]:
        """Return what the classifier needs kept."""
        return self.classifier.trackables()
