"""A classifier that rejects what its detector finds suspicious: one class more.

Carlini & Wagner, "Adversarial examples are not easily detected: bypassing ten detection methods"
(2017), section 2: classifier and detector become one function, which white-box attacks and
`diagnose` can be run on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.inference import BATCH_SIZE, predict
from tfrobust.data.reading import arrays
from tfrobust.detector import Detector, Outputs
from tfrobust.errors import UsageError
from tfrobust.evaluation.detection import scores
from tfrobust.scenario import Scenario
from tfrobust.serving.guard import Guarded, guard
from tfrobust.types import Images, Logits, PerImage

REJECTED = "rejected"
_MEASURED = 200  # training images that tell the size of scores
_Score = Callable[[Images, Outputs | None], PerImage]


class Rejecting(Wrapped):
    """The classifier's logits, and one of rejection: the largest where the score is above a bound.

    z_r = max z + g · (score − threshold), so that the last class wins exactly where the detector
    calls an image adversarial.

    Args:
        inner: the protected classifier.
        score: of a detector, in TensorFlow.
        threshold: of that score.
        gain: g; the size of the logits divided by that of the scores.
        **changes: further traits that differ.
    """

    def __init__(
        self, inner: Classifier, score: _Score, threshold: float, gain: float, **changes: Any
    ) -> None:
        super().__init__(
            inner,
            num_classes=inner.num_classes + 1,
            class_names=(*inner.class_names, REJECTED),
            **changes,
        )
        self._score, self._threshold, self._gain = score, threshold, gain

    def __call__(self, images: Images) -> Logits:
        """Return float32 `(batch, classes + 1)`; the last one is that of rejection."""
        logits = self.inner(images)
        excess = self._score(images, {"logits": logits}) - self._threshold
        top = tf.reduce_max(logits, axis=1)
        rejected = top + self._gain * excess
        # Where the excess is lost in rounding, the next number above decides.
        above = tf.where(excess > 0, tf.math.nextafter(top, float("inf")), rejected)
        rejected += tf.stop_gradient(tf.maximum(rejected, above) - rejected)
        return tf.concat([logits, rejected[:, None]], axis=1)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return `logits` and `probabilities` of all classes, rejection included."""
        return Classifier.outputs(self, images)


def rejecting(guarded: Guarded, clean: Images, batch_size: int = BATCH_SIZE) -> Rejecting:
    """Return a classifier with one class more, which its detector decides.

    Args:
        guarded: from `guard`.
        clean: float32 `(n, height, width, channels)`, one or more: what the sizes of logits and
            scores are measured on.
        batch_size: images at a time.

    Returns:
        With a surrogate, where gradients of the detector's score mean nothing.

    Raises:
        UsageError: the classifier's answers or the detector's scores are not finite.

    Example:
        >>> guarded = guard(classifier, create("detectors", "feature_squeezing"), attack, scenario)
        >>> rejecting(guarded, images).class_names[-1]
        'rejected'
    """
    fitted, protected = guarded.fitted, guarded.inner
    threshold = float(guarded.defenses[-1].params["threshold"])
    spread = float(predict(protected, clean, batch_size).std())
    scale = float(np.std(scores(fitted, clean, batch_size)))
    gain = spread / scale if scale > 0 else spread
    if not np.isfinite([threshold, gain]).all():
        raise UsageError(
            f"detector {guarded.defenses[-1].name}: its scores of clean images are not finite, so "
            "that there is nothing to reject by; take another detector, or other images"
        )
    traits = {"defenses": guarded.defenses}
    surrogate = Rejecting(
        protected.surrogate or protected, fitted.surrogate_score, threshold, gain, **traits
    )
    return Rejecting(protected, fitted.score, threshold, gain, surrogate=surrogate, **traits)


def with_rejection(
    classifier: Classifier,
    detector: Detector,
    attack: Attack,
    scenario: Scenario,
    *,
    seed: int = 0,
) -> Rejecting:
    """Fit a detector and make it a class of the classifier, as `diagnose --detector` does.

    Args:
        classifier: to be protected.
        detector: unfitted.
        attack: whose images it learns to distinguish from clean ones.
        scenario: for its training split.
        seed: decides everything random.

    Raises:
        UsageError, ClassifierError: as `guard` and `rejecting`.

    Example:
        >>> guarded = with_rejection(load("d1"), create("detectors", "mahalanobis"),
        ...                          create("attacks", "pgd", eps=0.1), scenario)
        >>> diagnose(guarded, scenario, DiagnosisSettings(eps=0.1)).of("rejection").verdict
    """
    guarded = guard(classifier, detector, attack, scenario, seed=seed)
    return rejecting(guarded, arrays(scenario, "train", _MEASURED)[0])
