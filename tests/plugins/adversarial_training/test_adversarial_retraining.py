"""Adversarial retraining of the last layer, on features that stay as they are."""

import keras
import numpy as np
import pytest

from helpers.support import InMemory
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.errors import ClassifierError
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

SHAPE = (4, 4, 1)
DATA = InMemory(shape=SHAPE, images=16)


def network(*layers):
    keras.utils.set_random_seed(0)
    return KerasClassifier(keras.Sequential([keras.Input(SHAPE), *layers]))


def test_retraining_the_last_layer_leaves_features_and_their_averages_as_they_were():
    hidden = keras.layers.Dense(4), keras.layers.BatchNormalization()
    before = network(keras.layers.Flatten(), *hidden, keras.layers.Dense(3))
    defense = create("defenses", "adversarial_retraining", eps=0.1, layers="last", epochs=1)
    defense.check(before, DATA)
    trainer = Trainer(TrainingOptions(batch_size=16, validation=0))
    tuned = defense.apply(before, DATA, trainer).classifier
    images, _ = arrays(DATA, "test", 8)
    assert np.array_equal(tuned.features(images), before.features(images))
    assert np.abs(tuned(images) - before(images)).max() > 1e-4
    assert all(layer.trainable for layer in tuned.model.layers)  # to be trained further


def test_a_network_without_other_layers_is_refused_before_training():
    defense = create("defenses", "adversarial_retraining", layers="last")
    with pytest.raises(ClassifierError, match="no hidden layer"):
        defense.check(network(keras.layers.Conv2D(3, 4), keras.layers.Flatten()), DATA)
