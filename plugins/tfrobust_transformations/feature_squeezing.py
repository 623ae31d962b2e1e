"""Feature squeezing: an image on which the classifier changes its mind when squeezed is suspicious.

score(x) = max over squeezers s of ‖softmax(f(x)) − softmax(f(s(x)))‖₁, in [0, 2]

The squeezers are a rounding of pixels and a median filter; the threshold is the one that a given
share of clean images exceeds.

Xu, Evans & Qi, "Feature squeezing: detecting adversarial examples in deep neural networks" (2018).
Threat: an attacker who does not know of the detector.
Broken by: He, Wei, Chen, Carlini & Song, "Adversarial example defenses: ensembles of weak defenses
are not strong" (2017), who fool the classifier on the squeezed images too. `evading` is the
classifier that such an attacker follows.
Departures: without non-local means, the third squeezer that the paper has for colour images.
The paper picks squeezers per dataset: 1 bit and a 2 × 2 median for MNIST, 5 bits and a 2 × 2
median for CIFAR-10. Squeeze images of 8 × 8 pixels with no median: it changes what they show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.inference import in_batches
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.types import Images, Logits, PerImage
from tfrobust_transformations.bit_depth import rounded
from tfrobust_transformations.median_smoothing import check_window, median
from tfrobust_transformations.transformed import Transformation, straight_through


@plugin
class FeatureSqueezing(Detector):
    """Compares the answers to an image and to squeezed versions of it."""

    bits: int | None = option(
        "bits a channel of the rounding squeezer; none: without it", default=5, ge=1, le=16
    )
    window: int | None = option(
        "side of the median's window in pixels; none: without it", default=2, ge=2, le=15
    )
    false_positives: float = option(
        "share of clean images that may exceed the threshold", default=0.05, gt=0, lt=1
    )

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Return the detector; of the images only the clean ones count. See `Detector`.

        Raises:
            UsageError: there is no squeezer, or a window larger than the image.
        """
        check_both(clean, adversarial)
        squeezers, followed = self.squeezers(classifier), self._followed(classifier)
        return _Fitted(classifier, squeezers, followed, clean, self.false_positives)

    def squeezers(self, classifier: Classifier) -> tuple[Transformation, ...]:
        """Return what squeezes images of a classifier.

        Raises:
            UsageError: as `fit` does.
        """
        bits, window = self.bits, self.window
        squeezers: list[Transformation] = []
        if bits is not None:
            squeezers.append(lambda images: rounded(images, bits))
        if window is not None:
            check_window(window, classifier.image_shape, "feature_squeezing")
            squeezers.append(lambda images: median(images, window))
        if not squeezers:
            raise UsageError("feature_squeezing: expected bits or window, or both; received: none")
        return tuple(squeezers)

    def evading(self, classifier: Classifier) -> Classifier:
        """Return the classifier that an attacker follows who wants to evade the detector too.

        Its logits are the mean of the log-probabilities of an image and of all its squeezed
        versions; rounding has the gradient of the identity. Where they all agree on a wrong class,
        the classifier is fooled and the score is small.

        Example:
            >>> evading = FeatureSqueezing().evading(classifier)
            >>> crafted = run_attack(create("attacks", "pgd"), evading, images, labels)
        """
        return _Evading(classifier, self._followed(classifier))

    def _followed(self, classifier: Classifier) -> tuple[Transformation, ...]:
        """Return the squeezers; rounding has the gradient of the identity."""
        squeezers = self.squeezers(classifier)
        if self.bits is None:
            return squeezers
        return straight_through(squeezers[0]), *squeezers[1:]


class _Fitted(FittedDetector):
    """The largest distance between the probabilities of an image and of a squeezed version."""

    def __init__(
        self,
        classifier: Classifier,
        squeezers: tuple[Transformation, ...],
        followed: tuple[Transformation, ...],
        clean: Images,
        false_positives: float,
    ) -> None:
        super().__init__()
        self.classifier, self._squeezers, self._followed = classifier, squeezers, followed
        scores = in_batches(tf.function(self.score, reduce_retracing=True), clean)
        self.threshold = float(np.quantile(scores, 1 - false_positives, method="higher"))

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the score, float32 `(batch,)` in [0, 2]; see `FittedDetector`."""
        return self._distance(images, outputs, self._squeezers)

    def surrogate_score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the score, where rounding has the gradient of the identity."""
        return self._distance(images, outputs, self._followed)

    def _distance(
        self, images: Images, outputs: Outputs | None, squeezers: tuple[Transformation, ...]
    ) -> PerImage:
        logits = self.classifier(images) if outputs is None else outputs["logits"]
        probabilities = tf.nn.softmax(logits)
        distances = [
            tf.reduce_sum(
                tf.abs(probabilities - tf.nn.softmax(self.classifier(squeezed(images)))), axis=1
            )
            for squeezed in squeezers
        ]
        return tf.reduce_max(tf.stack(distances), axis=0)

    def trackables(self) -> list[Any]:
        """Return what the classifier needs kept."""
        return self.classifier.trackables()


class _Evading(Wrapped):
    """The mean log-probabilities of an image and of its squeezed versions."""

    def __init__(self, inner: Classifier, squeezers: tuple[Transformation, ...]) -> None:
        super().__init__(inner)
        self._squeezers = squeezers

    def __call__(self, images: Images) -> Logits:
        shown = [images, *(squeezed(images) for squeezed in self._squeezers)]
        logs = [tf.nn.log_softmax(self.inner(version)) for version in shown]
        return tf.add_n(logs) / len(logs)
