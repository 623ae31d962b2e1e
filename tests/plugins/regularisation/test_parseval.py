"""Parseval networks: orthonormal rows, convex sums, and lengths that do not grow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_regularisation.convex import ConvexSum
from tfrobust_regularisation.orthogonal import (
    constrained_layers,
    departure,
    kernel_of,
    orthonormal,
    retracted,
    rows,
    scale_of,
    simplex,
)

DRAW = np.random.default_rng(4)


def parseval(**options):
    return create("defenses", "parseval", **options)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3)])
def test_repeated_retractions_end_at_the_nearest_orthonormal_matrix(shape):
    matrix = DRAW.normal(0, 0.4, shape).astype(np.float32)
    moved = tf.constant(matrix)
    for _ in range(300):
        moved = retracted(moved, 0.1)
    assert departure(moved) < 1e-3
    assert np.allclose(moved, orthonormal(matrix), atol=1e-3)
    gram = (
        np.asarray(moved) @ np.asarray(moved).T if shape[0] < shape[1] else moved.numpy().T @ moved
    )
    assert np.allclose(gram, np.eye(3), atol=1e-3)


def test_a_retraction_is_a_step_down_the_distance_from_orthonormal_rows():
    matrix = tf.constant(DRAW.normal(0, 0.4, (3, 7)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        gram = tf.matmul(matrix, matrix, transpose_b=True)
        distance = tf.reduce_sum(tf.square(gram - tf.eye(3))) / 4
    step = matrix - 0.1 * tape.gradient(distance, matrix)
    assert np.allclose(retracted(matrix, 0.1), step, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_with_orthonormal_rows_makes_nothing_longer(stride):
    layer = keras.layers.Conv2D(4, 3, stride, padding="same", use_bias=False)
    layer.build((None, 7, 6, 2))
    scale = scale_of(layer)
    layer.kernel.assign(kernel_of(orthonormal(rows(layer.kernel, scale)), scale, (3, 3, 2, 4)))
    assert departure(rows(layer.kernel, scale)) < 1e-5
    basis = np.eye(84, dtype=np.float32).reshape(84, 7, 6, 2)
    assert 0.5 < np.linalg.norm(np.reshape(layer(basis), (84, -1)), 2) <= 1 + 1e-5


def test_the_projection_onto_the_simplex_is_the_nearest_point_of_it():
    for weights in DRAW.normal(0.3, 1, (8, 4)).astype(np.float32):
        nearest = simplex(weights).numpy()
        assert nearest.sum() == pytest.approx(1, abs=1e-5)
        assert (nearest >= 0).all()
        others = DRAW.dirichlet(np.ones(4), 500)
        assert np.linalg.norm(weights - nearest) <= np.linalg.norm(weights - others, axis=1).min()
    assert np.allclose(simplex(tf.constant([0.2, 0.8])), [0.2, 0.8])


def residual():
    shown = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(shown)
    x = keras.layers.Add()([x, keras.layers.Conv2D(4, 3, padding="same")(x)])
    x = x + keras.layers.Conv2D(4, 1)(x)
    return KerasClassifier(keras.Model(shown, keras.layers.Dense(3)(keras.layers.Flatten()(x))))


def test_a_training_starts_with_orthonormal_rows_and_draws_them_back_after_each_step():
    seen = []

    class Stepping(Trainer):
        def fit(self, classifier, scenario, perturb):
            [layer] = constrained_layers(classifier.model, last=False)
            seen.append(departure(rows(layer.kernel, 1.0)))
            moved = layer.kernel + DRAW.normal(0, 0.01, layer.kernel.shape)
            layer.kernel.assign(layer.kernel.constraint(moved))
            seen.append(departure(rows(moved, 1.0)))
            return []

    done = parseval(beta=0.5).apply(small_classifier(), InMemory(), Stepping())
    start, moved = seen
    assert start < 1e-5
    assert done.found["departure"] < 0.1 * moved
    [layer] = constrained_layers(done.classifier.model, last=False)
    assert layer.kernel.constraint is None


@pytest.mark.slow
def test_the_rows_of_a_trained_network_are_orthonormal_and_its_sums_convex():
    plain = residual()
    before = [weight.copy() for weight in plain.model.get_weights()]
    trainer = Trainer(TrainingOptions(epochs=4, batch_size=16, learning_rate=0.003))
    done = parseval().apply(plain, InMemory(), trainer)
    model = done.classifier.model
    layers = list(constrained_layers(model, last=False))
    assert done.found["layers"] == len(layers) == 3
    farthest = max(departure(rows(layer.kernel, scale_of(layer))) for layer in layers)
    assert done.found["departure"] == pytest.approx(farthest, abs=1e-3)
    assert farthest < 0.1
    assert all(layer.kernel.constraint is None for layer in layers)
    sums = [layer for layer in model._flatten_layers() if isinstance(layer, ConvexSum)]
    assert len(sums) == 2
    for layer in sums:
        alpha = np.asarray(layer.alpha)
        assert alpha.sum() == pytest.approx(1, abs=1e-5)
        assert (alpha >= 0).all()
        assert not np.allclose(alpha, 0.5, atol=1e-6)
    for weight, old in zip(plain.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)


def test_the_last_layer_is_constrained_where_that_is_asked_for():
    model = small_classifier().model
    free, all_of_them = (list(constrained_layers(model, last=last)) for last in (False, True))
    assert len(all_of_them) == len(free) + 1 == 2


def test_a_network_without_layers_to_constrain_is_refused():
    linear = KerasClassifier(create("models", "linear").build((4, 4, 1), 3))
    with pytest.raises(UsageError, match="parseval: expected a network with dense or conv"):
        parseval().check(linear, InMemory())
    parseval(last_layer=True).check(linear, InMemory())
    with pytest.raises(UsageError, match="parseval: expected a Keras model"):
        parseval().check(LinearClassifier(), InMemory())


@pytest.mark.slow
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_parseval_keeps_the_contract(check):
    check(parseval())


@pytest.mark.slow
def test_a_stored_network_keeps_its_convex_sums(tmp_path):
    model = create("models", "resnet", width=2)
    trainer = Trainer(TrainingOptions(epochs=1, batch_size=16))
    trained = train_and_store(model, InMemory(), "m", trainer, [parseval()], root=tmp_path)
    images = DRAW.uniform(size=(3, 4, 4, 1)).astype(np.float32)
    network = stored_network("m", tmp_path)
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))
    served = store.load("m", root=tmp_path)
    assert np.allclose(predict(served, images), predict(network, images), atol=1e-4)
    assert network.defenses[0].found["departure"] < 0.5
