"""PixelDP: the noise's scale, the first layer's sensitivity, what is trained and stored."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_smoothing.pixel_dp import PixelDp
from tfrobust_smoothing.sensitivity import first_layer, halves, sensitivity, within_one

DRAW = np.random.default_rng(4)
NOISES = pytest.mark.parametrize(("noise", "norm"), [("gaussian", "l2"), ("laplace", "l1")])


def pixel_dp(**options):
    return create("defenses", "pixel_dp", **options)


def test_the_noise_has_the_scale_that_differential_privacy_asks_for():
    assert pixel_dp(bound=0.2, privacy=0.5).scale == pytest.approx(
        np.sqrt(2 * np.log(1.25 / 0.05)) * 0.2 / 0.5
    )
    assert pixel_dp(bound=0.2, privacy=0.5, noise="laplace").scale == pytest.approx(0.4)


def operator(layer, shape):
    """The matrix of a linear layer: a row a pixel, a column an output."""
    pixels = int(np.prod(shape))
    basis = np.eye(pixels, dtype=np.float32).reshape(pixels, *shape)
    return np.asarray(layer(basis)).reshape(pixels, -1)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_sensitivity_of_a_convolution_is_bounded_by_what_is_computed(stride):
    layer = keras.layers.Conv2D(5, 3, stride, padding="same", use_bias=False)
    matrix = operator(layer, (7, 6, 2))
    true = {"l2": np.linalg.norm(matrix, 2), "l1": np.abs(matrix).sum(axis=1).max()}
    for norm, largest in true.items():
        bound = float(sensitivity(layer.kernel, norm, (stride, stride)))
        assert largest <= bound * (1 + 1e-5) < 3 * largest


def test_the_sensitivity_of_a_dense_layer_is_exact_in_both_shapes():
    for shape in ((9, 4), (4, 9)):
        kernel = DRAW.normal(size=shape).astype(np.float32)
        assert float(sensitivity(kernel, "l2")) == pytest.approx(np.linalg.norm(kernel, 2), 1e-4)
        assert float(sensitivity(kernel, "l1")) == pytest.approx(
            np.abs(kernel).sum(axis=1).max(), 1e-5
        )


@pytest.mark.slow
@NOISES
def test_the_first_layer_is_never_more_sensitive_than_one_once_it_is_trained(noise, norm):
    network = small_classifier()
    layer = first_layer(network.model, "pixel_dp")
    layer.kernel.assign(5 * layer.kernel)
    defense = pixel_dp(noise=noise, after="first_layer")
    trainer = Trainer(TrainingOptions(epochs=2, batch_size=16, learning_rate=0.5))
    averaged = defense.apply(network, InMemory(), trainer).classifier
    assert float(sensitivity(layer.kernel, norm)) <= 1 + 1e-5
    assert layer.kernel.constraint is None
    assert averaged.inner is network


@NOISES
def test_a_training_keeps_the_first_layer_within_one_after_each_step(noise, norm):
    network = small_classifier()
    layer = first_layer(network.model, "pixel_dp")

    class Stepping(Trainer):
        def fit(self, classifier, scenario):
            assert float(sensitivity(layer.kernel, norm)) <= 1 + 1e-5
            layer.kernel.assign(layer.kernel.constraint(3 * layer.kernel))
            return []

    layer.kernel.assign(5 * layer.kernel)
    pixel_dp(noise=noise, after="first_layer").apply(network, InMemory(), Stepping())
    assert float(sensitivity(layer.kernel, norm)) == pytest.approx(1, abs=1e-4)
    assert layer.kernel.constraint is None


def test_a_kernel_within_one_stays_as_it_is():
    layer = keras.layers.Dense(3, use_bias=False)
    layer.build((None, 4))
    layer.kernel.assign(0.01 * layer.kernel)
    assert np.array_equal(within_one(layer, "l2")(layer.kernel), layer.kernel)


def test_the_noise_stands_behind_the_first_layer():
    network = small_classifier((6, 6, 1))
    averaged = pixel_dp(after="first_layer", bound=1e-6)._averaged(network, network.model)
    images = tf.constant(DRAW.uniform(size=(3, 6, 6, 1)).astype(np.float32))
    expected = tf.nn.log_softmax(network(images))
    assert np.allclose(averaged(images), expected, atol=1e-3)
    before, _ = halves(network.model, "pixel_dp")
    assert before.output_shape == (None, 16)
    assert averaged.draws(images).shape == (25, 3, 3)


@pytest.mark.parametrize(
    ("layers", "received"),
    [
        ([keras.layers.Rescaling(2.0), keras.layers.Flatten(), keras.layers.Dense(3)], "Rescaling"),
        ([keras.layers.Flatten(), keras.layers.Dense(3)], "a single layer"),
        ([keras.layers.Flatten(), keras.layers.Dense(4, "silu"), keras.layers.Dense(3)], "silu"),
    ],
)
def test_a_network_whose_first_layer_has_no_known_sensitivity_is_refused(layers, received):
    network = KerasClassifier(keras.Sequential([keras.Input((4, 4, 1)), *layers]))
    with pytest.raises(UsageError, match=f"after=first_layer: .*received: .*{received}"):
        pixel_dp(after="first_layer").check(network, InMemory())
    pixel_dp().check(network, InMemory())


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(UsageError, match="pixel_dp: expected a Keras model"):
        pixel_dp().check(LinearClassifier(), InMemory())
    for options in ({"privacy": 1.5}, {"delta": 0}, {"bound": 0}):
        with pytest.raises(UsageError, match=next(iter(options))):
            pixel_dp(**options)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["image", "first_layer"])
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_pixel_dp_keeps_the_contract(check, after):
    check(PixelDp(after=after, samples=4))


@pytest.mark.slow
def test_a_stored_network_has_its_noise_again(tmp_path):
    trainer = Trainer(TrainingOptions(epochs=1, batch_size=16))
    model = create("models", "fully_connected", units=8)
    defense = pixel_dp(after="first_layer", samples=7)
    trained = train_and_store(model, InMemory(), "m", trainer, [defense], root=tmp_path)
    network = stored_network("m", tmp_path)
    images = DRAW.uniform(size=(3, 4, 4, 1)).astype(np.float32)
    assert network.passes == 7
    assert network.draws(tf.constant(images)).shape == (7, 3, 3)
    inside = predict(trained.classifier.inner, images)
    assert np.array_equal(predict(network.inner, images), inside)
