"""Networks that read encoded pixels: what they read, how they are trained, stored and broken."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.pipeline.defense_order import check_order
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, small_classifier
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Trainer
from tfrobust_transformations.thermometer import Thermometer, encoded, thermometer


def trainer(epochs):
    return Trainer(TrainingOptions(epochs=epochs, batch_size=64, learning_rate=0.003, seed=1))


def test_a_pixel_is_encoded_by_the_thresholds_that_it_reaches():
    images = np.random.default_rng(0).uniform(size=(2, 3, 4, 2)).astype(np.float32)
    images[0, 0, 0] = 0.0, 1.0
    code = thermometer(tf.constant(images), 5).numpy().reshape(2, 3, 4, 2, 4)
    expected = images[..., None] >= np.array([0.2, 0.4, 0.6, 0.8])
    assert np.allclose(code, expected, atol=1e-6)
    assert code.sum(axis=-1)[0, 0, 0].tolist() == [0, 4]


def test_the_gradient_is_that_of_a_smooth_encoding():
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 3, 3, 1)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(thermometer(images, 4))
    smooth = tf.sigmoid(10 * (images[..., None] - np.float32([0.25, 0.5, 0.75])))
    slopes = tf.reduce_sum(10 * smooth * (1 - smooth), axis=-1)
    assert np.allclose(tape.gradient(total, images), slopes, atol=1e-4)


def test_the_network_is_built_again_for_encoded_pixels_and_keeps_its_layers():
    network = small_classifier((8, 8, 1)).model
    model = encoded(network, (8, 8, 1), 6)
    assert model.input_shape == (None, 8, 8, 1)
    assert model.output_shape == network.output_shape
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes[0][2] == 5  # channels of the first convolution
    assert shapes[1:] == [tuple(weight.shape) for weight in network.weights[1:]]
    assert KerasClassifier(model).gives_logits


def test_a_stored_network_still_has_the_smooth_gradient(tmp_path):
    digits = create("scenarios", "digits")
    encoding = Thermometer(levels=8)
    network = train(create("models", "lenet", width=2), digits, trainer(0), [encoding])
    assert [applied.name for applied in network.defenses] == ["thermometer"]
    network.model.save(tmp_path / "model.keras")
    loaded = store.load(tmp_path / "model.keras")
    images = tf.constant(np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32))
    gradients = []
    for classifier in (network, loaded):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = classifier(images)
        gradients.append(tape.gradient(logits, images).numpy())
    assert np.abs(gradients[0]).max() > 0
    assert np.allclose(*gradients, atol=1e-6)


@pytest.mark.slow
def test_the_served_network_is_broken_by_an_attack_through_the_smooth_encoding(
    tmp_path, test_images
):
    images, labels = test_images
    digits, attack = create("scenarios", "digits"), create("attacks", "pgd", eps=0.25, steps=40)
    plain = train(create("models", "lenet"), digits, trainer(15))
    network = train(create("models", "lenet"), digits, trainer(15), [Thermometer()])
    served = store.load(store.export(network, tmp_path / "m" / "1"))
    accuracies = {}
    for kind, victim in (("naive", plain), ("adaptive", served)):
        crafted = run_attack(attack, victim, images, labels).images
        accuracies[kind] = (
            np.asarray(served(tf.constant(crafted))).argmax(axis=1) == labels
        ).mean()
    assert (np.asarray(served(tf.constant(images))).argmax(axis=1) == labels).mean() > 0.9
    assert accuracies["naive"] > accuracies["adaptive"] + 0.1
    assert accuracies["adaptive"] < 0.05


@pytest.mark.slow
def test_it_is_stored_like_any_trained_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path))
    train_and_store(
        create("models", "lenet", width=2), create("scenarios", "digits"), "t", trainer(1),
        [Thermometer(levels=4)],
    )  # fmt: skip
    served, network = store.load("t"), store.load(tmp_path / "t.training/model.keras")
    images = tf.constant(np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32))
    assert np.allclose(served(images), network(images), atol=1e-5)
    assert served.defenses[0].adaptive[0].attack == "pgd"


def test_adversarial_training_may_follow_and_may_not_come_before():
    pgd = create("defenses", "pgd_training")
    check_order([Thermometer(), pgd])
    with pytest.raises(UsageError, match="begins with new weights"):
        check_order([pgd, Thermometer()])


def test_what_cannot_be_built_again_is_refused():
    digits = create("scenarios", "digits")
    with pytest.raises(UsageError, match="thermometer: expected a Keras model"):
        Thermometer().apply(LinearClassifier((8, 8, 1), 10), digits, trainer(1))
    images = keras.Input((8, 8, 1))
    colour = keras.layers.Concatenate()([images] * 3)
    normal = keras.layers.Normalization(mean=[0.5] * 3, variance=[1.0] * 3)(colour)
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(normal))
    network = KerasClassifier(keras.Model(images, logits))
    with pytest.raises(UsageError, match="cannot read 15 channels"):
        Thermometer().apply(network, digits, trainer(1))
