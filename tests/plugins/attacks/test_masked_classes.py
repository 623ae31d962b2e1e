"""Classes that are masked by a large negative logit do not change the result of an attack."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import train_keras
from helpers.thinned import thinned
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.checks import check_sound
from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.engine.targets import choose_targets
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create

LEAST = float(np.finfo(np.float32).min)
ATTACKS = {
    "deepfool": {"eps": 1.0, "steps": 10},
    "ddn": {"eps": 1.0, "steps": 20},
    "fmn": {"norm": "l2", "eps": 1.0, "steps": 20},
    "cw_l2": {"eps": 1.0, "steps": 30, "learning_rate": 0.05, "initial_const": 1.0},
    "fab_t": {"eps": 0.1, "steps": 5, "target_classes": 4},
    "jsma": {"eps": 8},
    "zoo": {"eps": 1.0, "steps": 30, "binary_search_steps": 1, "initial_const": 1.0},
}


@pytest.fixture(scope="module")
def five(digits):
    """Digits 0 to 4, some to test on, and a network of ten logits that reads them."""
    images, labels = digits["train"]
    few = labels < 5
    init = keras.initializers.GlorotUniform(seed=3)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu", kernel_initializer=init),
        keras.layers.Dense(10, kernel_initializer=init),
    ]
    model = keras.Sequential(layers)
    train_keras(model, images[few], labels[few], epochs=5)
    images, labels = digits["test"]
    few = labels < 5
    return model, images[few][:30], labels[few][:30]


class Cut(Classifier):
    """The five live logits of a network of ten."""

    def __init__(self, model):
        super().__init__(image_shape=(8, 8, 1), num_classes=5)
        self.model = model

    def __call__(self, images):
        return tf.cast(self.model(images, training=False)[:, :5], tf.float32)


class Masked(Classifier):
    """The same, with five more logits that are a large negative number."""

    def __init__(self, model, mask):
        super().__init__(image_shape=(8, 8, 1), num_classes=10)
        self.model, self.mask = model, mask

    def __call__(self, images):
        logits = tf.cast(self.model(images, training=False), tf.float32)
        return tf.where(tf.range(10)[None] >= 5, self.mask, logits)


class Noisy(Wrapped):
    """A classifier that adds noise to its images."""

    def __call__(self, images):
        return self.inner(images + tf.random.normal(tf.shape(images)) * 0.2)


def robust(classifier, attack, images, labels):
    crafted = run_attack(attack, classifier, images, labels)
    clean = clean_predictions(classifier, images)
    judged = audit(
        classifier, attack, images, labels, crafted.images, clean=clean, targets=crafted.targets
    )
    return ~judged.success & (clean == labels)


@pytest.mark.parametrize("name", thinned(ATTACKS))
def test_masked_classes_change_no_verdict(name, five):
    model, images, labels = five
    attack = create("attacks", name, **ATTACKS[name])
    cut = robust(Cut(model), attack, images, labels)
    assert cut.mean() < 0.9, "the attack must break some for this to say anything"
    assert np.array_equal(robust(Masked(model, LEAST), attack, images, labels), cut)


@pytest.mark.parametrize("rule", ["least_likely", "next", "random"])
def test_no_rule_picks_a_target_that_is_masked(rule, five):
    model, images, labels = five
    chosen = choose_targets(rule, Masked(model, -1e9), images, labels, seed=3)
    assert np.array_equal(chosen, choose_targets(rule, Cut(model), images, labels, seed=3))


def test_a_single_image_is_enough_to_tell_which_classes_are_masked(five):
    model, images, labels = five
    one = choose_targets("least_likely", Masked(model, -1e9), images[:1], labels[:1])
    assert one[0] < 5


@pytest.mark.parametrize("mask", [-1e6, -1e9, LEAST])
def test_a_random_network_with_masked_classes_is_seen_as_random(mask, five):
    masked = Masked(five[0], mask)
    assert not check_sound(masked, "masked")["stochastic"]
    assert check_sound(Noisy(masked), "noisy")["stochastic"]


def test_two_networks_are_distinguished_despite_a_masked_class():
    first = np.array([[1.0, 2.0, -1e9]])
    assert agree(first, np.array([[1.0, 2.000001, -1e9 + 100.0]]), 1e-4).tolist() == [True]
    assert agree(first, np.array([[1.0, 2.01, -1e9]]), 1e-4).tolist() == [False]
    assert agree(np.full((1, 2), LEAST), np.full((1, 2), LEAST), 1e-4).tolist() == [True]
