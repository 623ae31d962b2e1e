"""A Keras model is read as the operations that bounds know; what they do not know is named."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.bounded_networks import images_near, some_images
from tfrobust.bounds import Around, IntervalBounds, LinearBounds, Network
from tfrobust.bounds.around import Box
from tfrobust.bounds.operations import Rectifier
from tfrobust.bounds.relaxations import rectifier_lines
from tfrobust.bounds.windows import windows
from tfrobust.errors import UsageError


class Doubled(keras.layers.Dense):
    """A layer of somebody else's."""


class Subclassed(keras.Model):
    def call(self, images):
        return images


def relu(values):
    """Not what its name says."""
    return abs(values)


@functools.wraps(keras.activations.relu)
def as_if_of_keras(values):
    return abs(values)


def around_operation(operation):
    shown = keras.Input((2, 3, 1))
    hidden = operation(keras.layers.Flatten()(shown))
    return keras.Model(shown, keras.layers.Dense(3)(hidden))


def elu_of_keras_2():
    layer = tf_keras.layers.ELU()
    layer.alpha = -2.0
    return layer


def around_layer(layer, kind=keras, shape=(4, 4, 1)):
    layers = kind.layers
    return kind.Sequential([layers.Input(shape), layer, layers.Flatten(), layers.Dense(3)])


def as_in_training():
    shown = keras.Input((4, 4, 1))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Flatten()(shown), training=True)
    return keras.Model(shown, keras.layers.Dense(3)(hidden))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (around_layer(keras.layers.LayerNormalization()), r"a layer LayerNormalization; known lay"),
        (around_layer(keras.layers.Conv2DTranspose(2, 3)), r"Conv2DTranspose.*are: Dense, Conv2D,"),
        (around_layer(Doubled(3)), "a layer Doubled"),
        (around_layer(keras.layers.Dense(3, "silu")), "the activation silu, which is not known to"),
        (around_layer(tf_keras.layers.PReLU(), tf_keras), "a layer PReLU"),
        (around_layer(keras.layers.BatchNormalization(axis=1)), "of another axis than the last"),
        (around_layer(keras.layers.Dense(3, dtype="mixed_float16")), "computes in float16"),
        (around_layer(keras.layers.Dense(3, relu)), "an activation relu that is not Keras's own"),
        (around_layer(tf_keras.layers.Dense(3, relu), tf_keras), "an activation relu that is not"),
        (around_layer(keras.layers.Activation(as_if_of_keras)), "relu, which falls somewhere"),
        (around_layer(keras.layers.ELU(-2.0)), "a layer ELU of alpha -2, which falls; known are"),
        (around_layer(elu_of_keras_2(), tf_keras), "a layer ELU of alpha -2, which falls; known"),
        (
            around_layer(tf_keras.layers.LeakyReLU(alpha=-1.0), tf_keras),
            "a layer LeakyReLU of alpha -1, which falls",
        ),
        (
            around_operation(lambda x: keras.ops.leaky_relu(x, -1.0)),
            "a layer LeakyRelu of negative_slope -1, which falls",
        ),
        (
            around_operation(
                lambda x: keras.ops.average(
                    keras.ops.reshape(x, (-1, 2, 3)), 1, weights=np.array([-1.0, 2.0])
                )
            ),
            "an operation Average of keras.ops; known ones are: Add, Concatenate",
        ),
        (around_operation(lambda x: x - 0.5), "a layer Subtract"),
        (as_in_training(), "a layer Dropout that is called as in training"),
        (Subclassed(), "a subclassed model, whose layers are not known"),
    ],
)
def test_what_has_no_bounds_is_named_with_what_has(model, named):
    with pytest.raises(UsageError, match=rf"crown: expected a functional .*; received: .*{named}"):
        Network(model, asking="crown")


@pytest.mark.parametrize("activation", ["tanh", "relu6"])
def test_another_activation_has_bounds_that_hold(activation):
    model = around_layer(keras.layers.Dense(3, activation), shape=(2, 2, 1))
    images, labels = some_images(4, (2, 2, 1)), np.array([0, 1, 2, 0])
    worst = np.asarray(LinearBounds(model).worst(Around(images, 0.1), labels))
    assert (worst <= IntervalBounds(model).worst(Around(images, 0.1), labels)).numpy().all()
    for near in images_near(images, 0.1, "linf", 12):
        logits = np.asarray(model(near))
        assert (logits - logits[np.arange(4), labels][:, None] <= worst + 1e-5).all()


def test_a_rectifier_is_known_by_its_values():
    layers = keras.layers
    for layer, leak in (
        (layers.ReLU(), 0.0),
        (layers.ReLU(negative_slope=0.25), 0.25),
        (layers.LeakyReLU(negative_slope=0.3), 0.3),
        (layers.Activation("leaky_relu"), 0.2),
        (layers.ReLU(max_value=6.0), None),
        (layers.ReLU(max_value=1e6), None),
        (layers.ReLU(threshold=0.5), None),
    ):
        operation = Network(around_layer(layer), asking="x").operations[0]
        known = operation.leak if isinstance(operation, Rectifier) else None
        assert known == (leak if leak is None else pytest.approx(leak)), layer


def test_sums_with_constants_and_of_twice_the_same_are_bounded():
    shown = keras.Input((2, 2, 1))
    flat = keras.layers.Flatten()(shown)
    model = keras.Model(shown, keras.layers.Dense(2)(keras.ops.relu((flat + 0.5) + flat)))
    images = some_images(3, (2, 2, 1))
    logits = np.asarray(model(images))
    expected = logits - logits[:, :1]
    found = np.asarray(LinearBounds(model).worst(Around(images, 0.0), [0, 0, 0]))
    assert (found >= expected).all()
    assert np.allclose(found, expected, atol=1e-3)  # bounds have a margin for rounding


def add(hidden, constant):
    return keras.layers.Add()([hidden, constant])


def average(hidden, constant):
    return keras.layers.Average()([hidden, constant, hidden])


def join_in_keras_2(hidden, constant):
    return tf_keras.layers.Concatenate()([constant, hidden])


def average_in_keras_2(hidden, constant):
    return tf_keras.layers.Average()([hidden, constant])


@pytest.mark.parametrize(
    ("combine", "kind"),
    [
        (add, keras),
        (average, keras),
        (join_in_keras_2, tf_keras),
        (lambda hidden, constant: hidden + constant, keras),
        (lambda hidden, constant: keras.ops.concatenate([hidden, constant], -1), keras),
        (average_in_keras_2, tf_keras),
    ],
)
def test_constants_of_sums_and_joins_are_in_the_bounds(combine, kind):
    shown = kind.layers.Input((2, 2, 1))
    hidden = kind.layers.Dense(6, activation="relu")(kind.layers.Flatten()(shown))
    constant = tf.constant([[5.0, -4.0, 3.0, -2.0, 7.0, 1.0]])
    model = kind.Model(shown, kind.layers.Dense(3)(combine(hidden, constant)))
    images = some_images(3, (2, 2, 1))
    logits = np.concatenate([model(image[None]) for image in images])
    for bounds in (IntervalBounds(model), LinearBounds(model)):
        for label in range(3):
            worst = bounds.worst(Around(images, 0.0), [label] * 3)
            assert np.allclose(worst, logits - logits[:, [label]], atol=1e-4)


@pytest.mark.parametrize(
    "combine",
    [
        lambda hidden: keras.ops.concatenate([hidden, hidden], axis=0),
        lambda hidden: keras.ops.reshape(hidden, (-1, 12)),
        lambda hidden: hidden + tf.reshape(tf.range(12.0), (2, 6)),
    ],
)
def test_what_joins_the_images_of_a_batch_is_refused(combine):
    shown = keras.Input((2, 3, 1))
    joined = combine(keras.layers.Flatten()(shown))
    with pytest.raises(UsageError, match=r"a layer \w+ across the images of a batch"):
        Network(keras.Model(shown, keras.layers.Dense(3)(joined)), asking="crown")


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("pool", "stride"), [(2, 2), (3, 1), (3, 2), (2, 3), ((3, 2), (1, 2))])
def test_windows_are_those_of_max_pooling(pool, stride, padding):
    layer = keras.layers.MaxPooling2D(pool, stride, padding=padding)
    image = some_images(1, (7, 6, 1)) - 0.5
    places = windows(layer, (7, 6, 1))
    largest = np.where(places >= 0, image.ravel()[places], -np.inf).max(axis=1)
    assert np.array_equal(largest, np.asarray(layer(image)).ravel())


def test_lines_of_a_rectifier_enclose_it_and_are_it_where_its_sign_is_known():
    box = Box(tf.constant([-1.0, -3.0, 0.0, -2.0, 1.0]), tf.constant([3.0, 1.0, 2.0, 0.0, 2.0]))
    for leak in (0.0, 0.2):
        lower, upper, offset = (np.asarray(line) for line in rectifier_lines(box, leak))
        for share in np.linspace(0, 1, 11):
            x = np.asarray(box.lower + share * (box.upper - box.lower))
            h = np.where(x > 0, x, leak * x)
            assert (lower * x <= h + 1e-6).all()
            assert (upper * x + offset >= h - 1e-6).all()
            assert np.allclose((lower * x)[2:], h[2:])
            assert np.allclose((upper * x + offset)[2:], h[2:])
