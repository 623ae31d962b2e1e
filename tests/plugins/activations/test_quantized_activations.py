"""Quantized activations: their levels and gradients, the penalty, and what differences find."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.knowing import naive_and_knowing
from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifiers.inference import predict
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_activations.defensive_quantization import amplification
from tfrobust_activations.quantized import TrainedThresholds, UniformLevels
from tfrobust_activations.replaced import layers_of

NAMES = ("dynamic_quantization", "defensive_quantization")
NUMBERS = np.random.default_rng(3).normal(0, 2, (50, 20)).astype(np.float32)


def gradient(layer, inputs):
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    return outputs.numpy(), tape.gradient(outputs, [inputs, *layer.trainable_variables])


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_uniform_levels_are_the_nearest_of_two_to_the_bits(bits):
    layer = UniformLevels(bits, 3.0)
    outputs, (slope, *_) = gradient(layer, NUMBERS)
    levels = np.linspace(0, 3, 2**bits)
    nearest = levels[np.abs(np.clip(NUMBERS, 0, 3)[..., None] - levels).argmin(-1)]
    assert np.allclose(outputs, nearest, atol=1e-5)
    assert np.array_equal(slope, ((NUMBERS > 0) & (NUMBERS < 3)).astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_trained_thresholds_give_the_mean_of_signs_and_are_moved_straight_through(bits):
    layer = TrainedThresholds(bits)
    outputs, (slope, *_) = gradient(layer, NUMBERS)
    thresholds = np.arange(1, 2**bits) * 2 / 2**bits - 1
    above = NUMBERS[..., None] - thresholds
    assert np.allclose(outputs, np.where(above >= 0, 1, -1).mean(-1), atol=1e-6)
    assert len(np.unique(outputs.round(5))) == 2**bits
    inside = (np.abs(above) < 1).mean(-1)
    assert np.allclose(slope, inside, atol=1e-6)
    _, (_, moved) = gradient(layer, NUMBERS)
    expected = -(np.abs(above) < 1).sum((0, 1)) / len(thresholds)
    assert np.allclose(moved, expected, rtol=1e-4)
    assert TrainedThresholds(bits, dynamic=False)(NUMBERS).shape == (50, 20)


def test_the_penalty_is_half_the_squared_distance_from_an_orthogonal_layer():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 2, 4)).astype(np.float32)
    matrix = kernel.reshape(18, 4)
    expected = 0.5 * np.square(matrix.T @ matrix - np.eye(4)).sum()
    assert float(amplification(kernel)) == pytest.approx(expected, rel=1e-5)


def test_the_penalty_is_trained_with_and_gone_afterwards():
    losses = []

    class Watching(Trainer):
        def fit(self, classifier, scenario):
            losses.append((float(sum(classifier.model.losses)), classifier.model))
            return []

    network = small_classifier()
    create("defenses", "defensive_quantization", penalty=0.3).apply(network, InMemory(), Watching())
    [(loss, model)] = losses
    kernels = [layer.kernel for layer in layers_of(model, keras.layers.Dense)]
    assert loss == pytest.approx(0.3 * float(sum(map(amplification, kernels))), rel=1e-5)
    assert model.losses == []
    [levels] = layers_of(model, UniformLevels)
    assert (levels.bits, levels.limit) == (4, 6.0)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_activations_to_replace_is_refused(name):
    with pytest.raises(UsageError, match=f"{name}: expected a Keras model"):
        create("defenses", name).check(LinearClassifier(), InMemory())
    with pytest.raises(UsageError, match=f"{name}: bits"):
        create("defenses", name, bits=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_quantized_activations_keep_the_contract(check, name):
    check(create("defenses", name))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_stored_network_keeps_its_levels(name, tmp_path):
    model = create("models", "fully_connected", units=8)
    trainer = Trainer(TrainingOptions(epochs=2, batch_size=16, learning_rate=0.05))
    defense = create("defenses", name, bits=2)
    trained = train_and_store(model, InMemory(), "m", trainer, [defense], root=tmp_path)
    images = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype(np.float32)
    network, served = stored_network("m", tmp_path), store.load("m", root=tmp_path)
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))
    assert np.allclose(predict(served, images), predict(network, images), atol=1e-4)
    assert served.surrogate is not None
    for layer in layers_of(network.model, TrainedThresholds):
        assert not np.allclose(layer.thresholds, [-0.5, 0.0, 0.5], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("dynamic_quantization", {"eps": 0.0}), ("defensive_quantization", {"bits": 1, "limit": 1.0})],
)
def test_differences_break_more_than_the_straight_through_gradient(name, options):
    trainer = Trainer(TrainingOptions(epochs=15, learning_rate=3e-3))
    model, scenario = create("models", "fully_connected", units=64), create("scenarios", "digits")
    network = train(model, scenario, trainer, [create("defenses", name, **options)])
    naive, knowing, clean = naive_and_knowing(network, 0.1, limit=200)
    assert clean > 0.9
    assert knowing < naive - 0.05
