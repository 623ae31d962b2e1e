"""The whole diagnosis: what it refuses, and what its remedies leave."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.benches import EPS, IMAGES, LABELS, LINEAR
from tfrobust import create
from tfrobust.diagnosis import DiagnosisSettings, Verdict, diagnose
from tfrobust.diagnosis.checks.finite_differences import FINITE_DIFFERENCES
from tfrobust.diagnosis.checks.randomness import RANDOMNESS
from tfrobust.errors import UsageError
from tfrobust.testing import ConstantClassifier, masked

MANY = DiagnosisSettings(eps=EPS, images=64)


@pytest.fixture
def grey(tmp_path):
    """The images of the linear classifier as a scenario."""
    np.savez(tmp_path / "grey.npz", images=IMAGES, labels=LABELS)
    return create("scenarios", "arrays", path=tmp_path / "grey.npz", classes=LINEAR.num_classes)


def test_what_a_finding_calls_for_is_done(grey):
    classifier = masked.NoiseGradient(LINEAR)

    diagnosis = diagnose(classifier, grey, MANY, checks=[FINITE_DIFFERENCES])

    remedy = diagnosis.of("finite differences").remedy
    assert diagnosis.verdict is Verdict.MASKED
    assert remedy.before == diagnosis.attacked.accuracy > 0.9
    assert remedy.after == diagnosis.lowest.accuracy < 0.7


def test_a_classifier_that_is_not_better_than_chance_is_refused(grey):
    with pytest.raises(UsageError, match="no robustness to diagnose"):
        diagnose(ConstantClassifier(), grey, MANY)


class Jitter(masked.Wrapped):
    """Its logits have a little noise, and it does not say so."""

    def __call__(self, images):
        logits = self.inner(images)
        return logits + 0.05 * tf.random.normal(tf.shape(logits))


@pytest.mark.slow  # twenty draws a gradient
def test_once_answers_are_known_to_be_random_attacks_average(grey):
    diagnosis = diagnose(Jitter(LINEAR), grey, MANY, checks=[RANDOMNESS])

    assert diagnosis.causes == ["random answers"]
    assert diagnosis.gradients_per_image > 40 * 20  # twenty draws a gradient


class Stepped(masked.Wrapped):
    """It rounds images finely, has no gradient and says so, and declares what to follow."""

    def __init__(self, inner):
        super().__init__(inner, differentiable=False, surrogate=inner)

    def __call__(self, images):
        return self.inner(tf.stop_gradient(tf.round(images * 255) / 255))


def test_what_declares_a_surrogate_is_diagnosed_along_it(grey):
    diagnosis = diagnose(Stepped(LINEAR), grey, MANY)

    assert diagnosis.verdict is Verdict.FINE, diagnosis.causes
    assert diagnosis.attacked.accuracy == diagnose(LINEAR, grey, MANY, checks=[]).attacked.accuracy
