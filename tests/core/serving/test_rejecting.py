"""A detector as one class more of the classifier that it protects."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import AppliedDefense
from tfrobust.detector import FittedDetector
from tfrobust.errors import UsageError
from tfrobust.serving.guard import Guarded
from tfrobust.serving.rejecting import rejecting
from tfrobust.testing import small_classifier

SHAPE = (4, 4, 1)
CLASSIFIER = small_classifier(SHAPE, 3)
IMAGES = np.random.default_rng(0).uniform(size=(20, *SHAPE)).astype(np.float32)


class Brightness(FittedDetector):
    """Finds bright images suspicious, in ten steps."""

    def score(self, images, outputs=None):
        return tf.round(10 * tf.reduce_mean(images, axis=(1, 2, 3))) / 10

    def surrogate_score(self, images, outputs=None):
        return tf.reduce_mean(images, axis=(1, 2, 3))


def guarded(threshold):
    applied = AppliedDefense("brightness", {"threshold": threshold})
    return Guarded(CLASSIFIER, Brightness(), applied)


def test_the_last_class_wins_exactly_where_the_score_is_above_the_threshold():
    rejects = rejecting(guarded(0.5), IMAGES)
    suspicious = np.asarray(Brightness().score(IMAGES)) > 0.5
    expected = np.where(suspicious, 3, CLASSIFIER(IMAGES).numpy().argmax(axis=1))
    assert 0 < suspicious.sum() < len(IMAGES)
    assert np.array_equal(rejects(IMAGES).numpy().argmax(axis=1), expected)
    assert rejects.class_names == (*CLASSIFIER.class_names, "rejected")
    assert set(rejects.outputs(IMAGES)) == {"logits", "probabilities"}


class JustAbove(FittedDetector):
    """Its scores lie above a half by less than rounding shows beside a logit."""

    def score(self, images, outputs=None):
        return 0.5 + 1e-7 + 0.0 * images[:, 0, 0, 0]


def test_what_is_hardly_suspicious_is_rejected_too():
    applied = AppliedDefense("just_above", {"threshold": 0.5})
    rejects = rejecting(Guarded(CLASSIFIER, JustAbove(), applied), IMAGES)
    assert set(rejects(1000 * IMAGES).numpy().argmax(axis=1)) == {3}


def test_who_knows_follows_the_score_that_has_a_gradient():
    rejects = rejecting(guarded(0.5), IMAGES)
    images = tf.constant(IMAGES)
    slopes = []
    for followed in (rejects, rejects.surrogate):
        with tf.GradientTape() as tape:
            tape.watch(images)
            excess = followed(images)[:, -1] - tf.reduce_max(followed(images)[:, :-1], axis=1)
        slopes.append(np.abs(tape.gradient(excess, images)).max())
    assert slopes[0] == pytest.approx(0.0, abs=1e-5)
    assert slopes[1] > 1e-4


def test_a_threshold_that_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="scores of clean images are not finite"):
        rejecting(guarded(float("nan")), IMAGES)


def test_a_detector_that_squeezes_shows_a_gradient_through_rounding():
    from tfrobust.registry import create

    detector = create("detectors", "feature_squeezing", bits=2, window=None)
    fitted = detector.fit(CLASSIFIER, IMAGES, 1 - IMAGES)
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        followed = fitted.surrogate_score(images)
    assert np.allclose(followed, fitted.score(images), atol=1e-6)
    assert np.abs(tape.gradient(followed, images)).max() > 0
