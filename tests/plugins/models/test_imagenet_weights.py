"""Weights of `keras.applications`: here random ones, in the files that it would download."""

import functools

import keras
import numpy as np
import pytest

from helpers.keras_networks import FUNCTIONS, images_of, randomise, shallow, undrawn
from tfrobust.errors import DataError
from tfrobust.registry import create

BY_KERAS = {
    "resnet50": keras.applications.resnet,
    "mobilenet": keras.applications.mobilenet,
    "efficientnet_b1": keras.applications.efficientnet,
    "resnet50v2": keras.applications.resnet_v2,
    "vgg16": keras.applications.vgg16,
}


@pytest.fixture(
    scope="module",
    autouse=True,
    params=["a few blocks", pytest.param("all blocks", marks=pytest.mark.slow)],
)
def _depth(request):
    """A few blocks have every kind of layer. A weight that is not taken over remains zero."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "a few blocks":
            shallow(patch)
        undrawn(patch)
        yield


@pytest.fixture(scope="module")
def donor(_depth, tmp_path_factory):
    """Build a Keras network with random weights, once, and keep it in Keras's older format."""

    @functools.cache
    def make(name, *, whole, side):
        top = {"classifier_activation": None} if whole else {}
        network = FUNCTIONS[name](
            weights=None, include_top=whole, input_shape=(side, side, 3), **top
        )
        randomise(network)
        path = tmp_path_factory.mktemp("download") / "weights.h5"
        network.save(path)
        return network, path

    return make


@pytest.fixture
def downloaded(donor, monkeypatch):
    """Random weights in place of the files that Keras would download."""
    from keras.src.utils import file_utils

    def offer(name, *, whole=False, side=64):
        network, path = donor(name, whole=whole, side=side)
        monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
        return network

    return offer


def _as_published(name, donor, images):
    """Return a network's features for images that are prepared as its authors do."""
    pixels = BY_KERAS[name].preprocess_input(images * 255.0)
    if name == "efficientnet_b1":  # with ImageNet's weights Keras scales once more
        rebuilt = FUNCTIONS[name](
            weights="imagenet", include_top=False, input_shape=images.shape[1:]
        )
        return rebuilt(pixels).numpy()
    return donor(pixels).numpy()


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "efficientnet_b1", "resnet50v2"])
def test_imagenet_weights_see_the_pixels_they_were_trained_on(name, downloaded):
    donor = downloaded(name)
    model = create("models", name, weights="imagenet").build((64, 64, 3), 10)
    images = images_of((64, 64, 3))
    expected = _as_published(name, donor, images)
    last = next(layer for layer in reversed(model.layers) if len(layer.output.shape) == 4)
    features = keras.Model(model.inputs[0], last.output)(images).numpy()
    assert expected.shape == features.shape
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())


def test_a_thousand_classes_keep_imagenets_last_layer(downloaded):
    donor = downloaded("mobilenet", whole=True, side=224)
    model = create("models", "mobilenet", weights="imagenet").build((64, 64, 3), 1000)
    images = images_of((64, 64, 3))
    small = keras.applications.MobileNet(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    small.set_weights(donor.get_weights())
    expected = _as_published("mobilenet", small, images)
    np.testing.assert_allclose(model(images), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet_b1"])
def test_a_grey_image_gives_what_it_gives_repeated_three_times(name, downloaded):
    downloaded(name)
    grey = images_of((32, 32, 1))
    models = [
        create("models", name, weights="imagenet").build((32, 32, channels), 10)
        for channels in (1, 3)
    ]
    heads = [[layer for layer in model.layers if layer.weights][-1] for model in models]
    heads[0].set_weights(heads[1].get_weights())
    np.testing.assert_array_equal(models[0](grey), models[1](np.repeat(grey, 3, -1)))


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet_b1"])
def test_imagenet_weights_take_other_channels(name, downloaded):
    downloaded(name)
    model = create("models", name, weights="imagenet").build((32, 32, 5), 10)
    assert np.isfinite(model(images_of((32, 32, 5)))).all()


def test_without_a_network_imagenet_weights_cost_one_line(monkeypatch, capsys):
    from keras.src.utils import file_utils

    def unreachable(*_, **__):
        print("Downloading data from https://example.org/weights.h5")  # as Keras does
        raise Exception("URL fetch failure on https://example.org/weights.h5: unknown host")

    monkeypatch.setattr(file_utils, "get_file", unreachable)
    with pytest.raises(DataError, match=r"mobilenet .*cannot be downloaded.*unknown host"):
        create("models", "mobilenet", weights="imagenet").build((32, 32, 3), 10)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
