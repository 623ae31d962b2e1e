"""Interval bounds: they hold, they are exact where they can be; and the training on them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.knowing import naive_and_knowing
from helpers.support import InMemory, small_classifier, small_model
from tfrobust.bounds import Around, IntervalBounds
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions

DRAW = np.random.default_rng(4)
EPS = 0.05


def ibp(**options):
    return create("defenses", "ibp_training", **options)


def images(count=5, shape=(8, 8, 1)):
    return DRAW.uniform(size=(count, *shape)).astype(np.float32)


def of_every_layer():
    """A network with every kind of layer that has bounds, with weights as after a training."""
    layers, shown = keras.layers, keras.Input((8, 8, 1))
    x = layers.Rescaling(2.0, -1.0)(shown)
    x = layers.Conv2D(3, 3, 2, padding="same", activation="tanh")(layers.ZeroPadding2D(1)(x))
    y = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
    x = keras.ops.relu(layers.Add()([x, layers.MaxPooling2D(3, 1, padding="same")(y)]))
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Flatten()(x)])
    x = layers.Dense(6, activation="elu")(layers.Dropout(0.5)(both))
    model = keras.Model(shown, layers.Dense(4)(x))
    for weight in model.weights:
        if weight.dtype == "float32":
            drawn = DRAW.normal(0, 0.4, weight.shape)
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.path else drawn)
    return model


def test_the_bounds_contain_the_answers_to_all_images_that_are_drawn_nearby():
    model, shown = of_every_layer(), images()
    labels = np.array([0, 1, 2, 3, 0])
    bounds = IntervalBounds(model)
    lower, upper = (bound.numpy() for bound in bounds.logits(Around(shown, EPS)))
    worst = bounds.worst(Around(shown, EPS), labels).numpy()
    assert (worst[np.arange(5), labels] == 0).all()
    for corner in (1.0, 0.3, 0.0):
        for _ in range(12):
            change = EPS * np.sign(DRAW.normal(size=shown.shape)) if corner else 0 * shown
            near = np.clip(shown + corner * change, 0, 1).astype(np.float32)
            logits = np.asarray(model(near))
            assert (logits >= lower - 1e-4).all()
            assert (logits <= upper + 1e-4).all()
            lead = logits - logits[np.arange(5), labels][:, None]
            assert (lead <= worst + 1e-4).all()


def test_the_bounds_of_a_linear_network_are_its_worst_answers_exactly():
    network = KerasClassifier(create("models", "linear").build((3, 3, 1), 4))
    weights, bias = (np.asarray(weight) for weight in network.model.weights)
    shown = images(6, (3, 3, 1))
    labels = np.array([0, 1, 2, 3, 0, 1])
    found = IntervalBounds(network.model).worst(Around(shown, EPS), labels).numpy()
    lower, upper = np.clip(shown - EPS, 0, 1), np.clip(shown + EPS, 0, 1)
    for row, label in enumerate(labels):
        for k in range(4):
            normal = weights[:, k] - weights[:, label]
            at = np.where(normal > 0, upper[row].ravel(), lower[row].ravel())
            assert found[row, k] == pytest.approx(at @ normal + bias[k] - bias[label], abs=1e-4)


def test_without_a_change_the_bounds_are_the_answers():
    model, shown = of_every_layer(), images()
    lower, upper = IntervalBounds(model).logits(Around(shown, 0.0))
    assert np.allclose(lower, model(shown), atol=2e-3)  # a margin for rounding is left
    assert np.allclose(upper, model(shown), atol=2e-3)


def test_the_loss_goes_from_the_clean_one_to_that_of_the_bounds():
    network, defense = small_classifier(), ibp(natural=0.25, eps=EPS, warmup=0.2, ramp=0.4)
    assert np.allclose([defense.progress(s) for s in (0.1, 0.2, 0.4, 0.6, 1.0)], [0, 0, 0.5, 1, 1])
    shown, labels = images(3, (4, 4, 1)), np.array([0, 1, 2])
    bounds = IntervalBounds(network.model)

    def entropy(logits):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits).numpy()

    clean, _ = defense.losses(network, bounds, shown, labels, 0.0)
    assert np.allclose(clean, entropy(network(shown)), atol=1e-5)
    half, _ = defense.losses(network, bounds, shown, labels, 0.5)
    worst = entropy(bounds.worst(Around(shown, 0.5 * EPS), labels))
    assert np.allclose(half, 0.625 * entropy(network(shown)) + 0.375 * worst, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "named"),
    [(keras.layers.Dense(3, "silu"), "silu"), (keras.layers.LayerNormalization(), "LayerNorm")],
)
def test_a_network_of_other_layers_is_refused(layer, named):
    flat = [keras.Input((4, 4, 1)), keras.layers.Flatten(), layer, keras.layers.Dense(3)]
    with pytest.raises(UsageError, match=f"ibp_training: .*received: .*{named}"):
        ibp().check(KerasClassifier(keras.Sequential(flat)), InMemory())
    ibp().check(KerasClassifier(small_model(kind=tf_keras)), InMemory())
    with pytest.raises(UsageError, match="ibp_training: expected a Keras model"):
        ibp().check(LinearClassifier(), InMemory())


@pytest.mark.slow
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_ibp_training_keeps_the_contract(check):
    check(ibp())


@pytest.mark.slow
def test_trained_bounds_verify_images_that_no_attack_then_breaks(digits):
    trainer = Trainer(TrainingOptions(epochs=20, learning_rate=5e-3))
    scenario = create("scenarios", "digits")
    model = create("models", "fully_connected", units=64)
    plain = train(model, scenario, trainer)
    network = train(model, scenario, trainer, [ibp(eps=0.1)])
    shown, labels = (array[:100] for array in digits["test"])

    def verified(classifier):
        worst = IntervalBounds(classifier.model).worst(Around(shown, 0.1), labels).numpy()
        return (worst <= 0).all(axis=1).mean()

    naive, knowing, clean = naive_and_knowing(network, 0.1)
    assert verified(plain) < 0.05
    assert 0.3 < verified(network) <= knowing <= naive < clean
