"""Every bundled model keeps the contract."""

import itertools
import math

import keras
import numpy as np
import pytest

from helpers.thinned import thinned
from tfrobust.errors import UsageError
from tfrobust.registry import create, entries
from tfrobust.testing import model_checks

SIZES = [
    ("lenet", {}),
    ("lenet", {"width": 2}),
    ("fully_connected", {}),
    ("fully_connected", {"units": 5}),
    ("fully_connected", {"activation": "tanh", "mean": 0.5, "deviation": 0.5}),
    ("schott_cnn", {}),
    ("linear", {}),
    ("resnet", {"width": 4}),
    ("resnet", {"depth": 14, "width": 2}),
    ("resnet18", {"width": 0.25}),
    ("resnet18", {"width": 0.25, "stem": "cifar"}),
    ("resnet18", {"width": 0.25, "shortcuts": False}),
    ("resnet34", {"width": 0.125}),
    ("resnet50", {"width": 0.125, "stem": "cifar"}),
    ("resnet101", {"width": 0.0625}),
    ("resnet50v2", {"width": 0.125, "stem": "cifar"}),
    ("vgg16", {"width": 0.125}),
    ("vgg16", {"width": 0.125, "stem": "cifar", "batch_norm": True}),
    ("vgg19", {"width": 0.125, "stem": "cifar"}),
    ("mobilenet", {}),
    ("mobilenet", {"width": 0.25, "stem": "cifar"}),
    ("efficientnet_b1", {}),
    ("efficientnet_b1", {"width": 0.125}),
    ("lenet_float", {}),
    ("lenet_bnn", {}),
    ("lenet_bnn", {"binary_activations": True}),
    ("lenet_random_bnn", {}),
    ("lenet_quantized", {"bits": 3}),
    ("resnet_quantized", {"width": 2}),
    ("resnet_quantized", {"width": 2, "bits": 1, "dropout": 0.3}),
]


# Others of their kind are built, and their gradients are taken.
DEEP = {"resnet34", "resnet101", "vgg19"}
FIRST = dict(reversed(SIZES))  # of each plugin


def each_size():
    """Pair checks and networks; only the first variant of a plugin is built for every size."""
    for check, (name, options) in itertools.product(model_checks(), SIZES):
        builds = check.__name__ == "fits_any_images"
        again = options != FIRST[name] or name == "efficientnet_b1"
        slow = name in DEEP or (builds and again) or (name == "efficientnet_b1" and options)
        marks = [pytest.mark.slow] if slow else []
        ident = "-".join([check.__name__, name, *(f"{key}={options[key]}" for key in options)])
        yield pytest.param(check, name, options, marks=marks, id=ident)


@pytest.mark.parametrize(("check", "name", "options"), thinned(each_size(), one_in=2))
def test_bundled_model_keeps_the_contract(check, name, options):
    check(create("models", name, **options))


def test_no_bundled_model_is_left_untested():
    assert {entry.name for entry in entries("models")} == {name for name, _ in SIZES}


def test_the_hidden_layer_is_as_wide_as_the_image_has_pixels():
    model = create("models", "fully_connected").build((5, 4, 3), 2)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [math.prod((5, 4, 3)), 2]


def test_the_hidden_units_read_shifted_and_scaled_pixels_through_their_activation():
    options = {"units": 3, "activation": "tanh", "mean": 0.25, "deviation": 0.5}
    model = create("models", "fully_connected", **options).build((2, 2, 1), 2)
    images = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 2, 2, 1)
    (first, bias), (last, shift) = (
        layer.get_weights() for layer in model.layers if isinstance(layer, keras.layers.Dense)
    )
    hidden = np.tanh((images.reshape(3, 4) - 0.25) / 0.5 @ first + bias)
    np.testing.assert_allclose(model(images), hidden @ last + shift, atol=1e-5)


def test_the_cnn_of_schott_et_al_has_the_published_layers():
    model = create("models", "schott_cnn").build((28, 28, 1), 10)
    shapes = [weight.shape for layer in model.layers for weight in layer.weights[:1]]
    assert shapes == [
        (5, 5, 1, 20), (20,), (4, 4, 20, 70), (70,), (3, 3, 70, 256), (256,), (5, 5, 256, 10),
    ]  # fmt: skip
    maps = [layer.output.shape[1] for layer in model.layers if "conv" in layer.name]
    assert maps == [24, 11, 5, 1]
    assert sum(isinstance(layer, keras.layers.ELU) for layer in model.layers) == 3


def test_the_cnn_of_schott_et_al_refuses_smaller_images_than_its_convolutions_take():
    with pytest.raises(UsageError, match=r"schott_cnn: expected images of 12×12 .*: 11×28"):
        create("models", "schott_cnn").build((11, 28, 1), 10)


def test_a_plain_network_is_the_residual_one_without_additions_and_projections():
    residual, plain = (
        create("models", "resnet18", width=0.125, shortcuts=shortcuts).build((32, 32, 1), 10)
        for shortcuts in (True, False)
    )
    kept = [layer.name for layer in plain.layers if layer.weights]
    names = [layer.name for layer in residual.layers if layer.weights]
    assert kept == [name for name in names if "downsample" not in name]
    assert not any(isinstance(layer, keras.layers.Add) for layer in plain.layers)


def test_a_plain_network_has_no_published_weights():
    with pytest.raises(UsageError, match=r"resnet50: shortcuts: .*there are no weights"):
        create("models", "resnet50", weights="imagenet", shortcuts=False)
    assert not create("models", "resnet50", shortcuts=False)._by_keras


@pytest.mark.slow
def test_a_narrow_efficientnet_has_a_share_of_the_filters_of_every_layer():
    whole, narrow = (
        create("models", "efficientnet_b1", width=width).build((32, 32, 1), 10)
        for width in (1, 0.25)
    )
    for layer, other in zip(narrow.layers[:-1], whole.layers[:-1], strict=True):
        assert type(layer) is type(other)
        filters, others = layer.output.shape[-1], other.output.shape[-1]
        assert filters == others or filters == max(1, round(others / 4))
    assert whole.count_params() / narrow.count_params() > 12
    assert {n.momentum for n in narrow.layers if hasattr(n, "momentum")} == {0.9}


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_a_resnet_has_as_many_weighted_layers_as_its_depth(depth):
    model = create("models", "resnet", depth=depth, width=2).build((8, 8, 1), 3)
    on_the_main_path = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense)
        or (isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3))
    ]
    assert len(on_the_main_path) == depth


def test_a_resnet_of_impossible_depth_is_refused():
    with pytest.raises(UsageError, match=r"resnet: .*expected 6n \+ 2.*received"):
        create("models", "resnet", depth=10)
