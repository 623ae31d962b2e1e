"""What a random classifier draws next, set from a seed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import noise, small_classifier
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.random_state import reseed
from tfrobust.store.models import export, load


class Drawing(Wrapped):
    """Adds noise from two generators of TensorFlow's."""

    def __init__(self, inner):
        super().__init__(inner, stochastic=True)
        self.draws = [tf.random.Generator.from_seed(seed) for seed in (1, 2)]

    def __call__(self, images):
        logits = self.inner(images)
        return logits + sum(draw.normal(tf.shape(logits)) for draw in self.draws)


class AlwaysDropped(keras.layers.Dropout):
    """Dropout that does not ask whether it is trained."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


def with_dropout():
    layers = [keras.Input((4, 4, 1)), keras.layers.Flatten(), AlwaysDropped(0.5)]
    model = keras.Sequential([*layers, keras.layers.Dense(3)])
    return KerasClassifier(model, stochastic=True)


@pytest.mark.parametrize("make", [lambda: Drawing(small_classifier()), with_dropout])
@pytest.mark.parametrize("stored", [False, True])
def test_the_same_place_gives_the_same_draws_and_another_place_others(make, stored, tmp_path):
    classifier, images = make(), noise(0, 8)[0]
    if stored:
        classifier = load(export(classifier, tmp_path / "1"))
        assert classifier.stochastic

    def logits(*what):
        reseed(classifier, *what)
        return predict(classifier, images)

    first = logits(0, 1024, "fgsm")
    assert not np.array_equal(predict(classifier, images), first)
    np.testing.assert_array_equal(logits(0, 1024, "fgsm"), first)
    for other in ((1, 1024, "fgsm"), (0, 2048, "fgsm"), (0, 1024, "pgd")):
        assert not np.array_equal(logits(*other), first)


def test_the_draws_of_two_generators_differ():
    classifier = Drawing(small_classifier())
    reseed(classifier, 0)
    one, other = (draw.normal((4,)).numpy() for draw in classifier.draws)
    assert not np.array_equal(one, other)
