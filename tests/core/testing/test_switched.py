"""A switched classifier answers as the one it is switched to, in earlier traces too."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing import ConstantClassifier, LinearClassifier, grey_images, small_classifier
from tfrobust.testing.classifiers import SHAPE, SwitchedClassifier

CHOICES = {"network": small_classifier, "linear": LinearClassifier, "constant": ConstantClassifier}


def logits_and_gradient(classifier, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier(images)
    return logits.numpy(), tape.gradient(logits, images).numpy()


@pytest.fixture
def switched():
    return SwitchedClassifier(**{name: build() for name, build in CHOICES.items()})


@pytest.mark.parametrize("name", CHOICES)
def test_its_logits_and_gradients_are_those_of_the_chosen_classifier_bit_for_bit(name, switched):
    images = tf.constant(np.random.default_rng(0).uniform(size=(5, *SHAPE)).astype(np.float32))
    own = logits_and_gradient(switched.to(name), images)
    expected = logits_and_gradient(switched.choices[name], images)
    assert all(map(np.array_equal, own, expected))


@pytest.mark.parametrize("attack", [create("attacks", "pgd"), create("attacks", "deepfool")])
@pytest.mark.slow
def test_a_traced_attack_follows_the_switch(attack, switched):
    images, labels = grey_images(switched.to("linear"))
    for name in ("network", "linear"):
        crafted = run_attack(attack, switched.to(name), images, labels).images
        expected = run_attack(attack, switched.choices[name], images, labels).images
        assert np.array_equal(crafted, expected)
