"""Equation 6, activations of k bits, and random weights that are normalised over the batch."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust_larq.quantizers import Linear, activation_levels

X = np.linspace(-1.5, 1.5, 401).astype(np.float32)


@pytest.mark.parametrize(
    ("step", "low", "high", "precision"),
    [(0.5, -1, 1, 3), (0.25, -1, 0.5, 3), (0.4, -1, 1, 3), (1 / 3, 0, 1, 2), (1.0, 0, 1, 1)],
)
def test_weights_are_rounded_to_steps_and_cut_as_in_equation_6(step, low, high, precision):
    quantizer = Linear(2, step=step, low=low, high=high)
    expected = np.clip(np.round(X.astype(np.float64) / step) * step, low, high)
    np.testing.assert_allclose(quantizer(X), expected, atol=1e-6)
    levels = len(np.unique(np.round(expected, 6)))
    assert quantizer.precision == precision == int(np.ceil(np.log2(levels)))


def test_the_step_of_the_bits_is_equation_11():
    np.testing.assert_array_equal(Linear(3, step=0.25)(X), Linear(3)(X))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_activations_of_k_bits_have_two_to_the_k_levels_from_0_to_1(bits):
    levels = np.unique(activation_levels(bits)(X))
    np.testing.assert_allclose(levels, np.arange(2**bits) / (2**bits - 1), atol=1e-6)
    assert activation_levels(bits).precision == bits


@pytest.mark.parametrize(
    "name", ["lenet_quantized", pytest.param("resnet_quantized", marks=pytest.mark.slow)]
)
def test_every_activation_of_a_network_is_quantized_and_comes_back_from_its_file(name, tmp_path):
    options = {"bits": 2, "step": 0.25, "low": -0.5, "high": 0.5, "activation_bits": 2}
    model = create("models", name, **options).build((8, 8, 1), 10)
    rectified = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.ReLU)]
    quantized = [layer for layer in model.layers if isinstance(layer, Linear)]
    assert len(quantized) == len(rectified) > 3
    inside = tf_keras.Model(model.input, quantized[-1].output)
    x = np.random.default_rng(0).uniform(size=(6, 8, 8, 1)).astype(np.float32)
    assert set(np.round(np.unique(inside(x)) * 3, 4)) <= {0.0, 1.0, 2.0, 3.0}
    model.save(tmp_path / "model.keras")
    again = KerasClassifier(load_keras_file(tmp_path / "model.keras"))
    np.testing.assert_array_equal(again(x), KerasClassifier(model)(x))
    with tf.GradientTape() as tape:
        images = tf.constant(x)
        tape.watch(images)
        logits = again(images)
    assert np.abs(tape.gradient(logits, images)).max() > 0  # straight through


def test_random_weights_are_normalised_over_the_batch_where_asked_for():
    def kinds(**options):
        model = create("models", "lenet_random_bnn", **options).build((8, 8, 1), 10)
        return [type(layer).__name__ for layer in model.layers]

    assert kinds().count("Scaled") == 5
    assert "BatchNormalization" not in kinds()
    assert kinds(batch_normalization=True).count("BatchNormalization") == 5
    assert "Scaled" not in kinds(batch_normalization=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet_quantized", {"bits": 1, "low": 0.0}, "expected bits of 2 or more"),
        ("resnet_quantized", {"bits": None, "step": 0.5}, "received: bits=none"),
        ("lenet_quantized", {"step": 0.0}, "step: .*greater than 0"),
        ("lenet_quantized", {"low": -2.0}, "low: .*greater than or equal to -1"),
        ("resnet_quantized", {"activation_bits": 0}, "activation_bits: .*greater than or equal"),
    ],
)
def test_levels_that_cannot_be_cost_a_line(name, options, message):
    with pytest.raises(UsageError, match=message):
        create("models", name, **options)
