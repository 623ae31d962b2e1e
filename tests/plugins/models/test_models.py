"""Every bundled model keeps the contract."""

import itertools
import math

import keras
import pytest

from tfrobust.errors import UsageError
from tfrobust.registry import create, entries
from tfrobust.testing import model_checks

SIZES = [
    ("lenet", {}),
    ("lenet", {"width": 2}),
    ("fully_connected", {}),
    ("fully_connected", {"units": 5}),
    ("linear", {}),
    ("resnet", {"width": 4}),
    ("resnet", {"depth": 14, "width": 2}),
    ("resnet18", {"width": 0.25}),
    ("resnet18", {"width": 0.25, "stem": "cifar"}),
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
        marks = [pytest.mark.slow] if name in DEEP or (builds and again) else []
        ident = "-".join([check.__name__, name, *(f"{key}={options[key]}" for key in options)])
        yield pytest.param(check, name, options, marks=marks, id=ident)


@pytest.mark.parametrize(("check", "name", "options"), list(each_size()))
def test_bundled_model_keeps_the_contract(check, name, options):
    check(create("models", name, **options))


def test_no_bundled_model_is_left_untested():
    assert {entry.name for entry in entries("models")} == {name for name, _ in SIZES}


def test_the_hidden_layer_is_as_wide_as_the_image_has_pixels():
    model = create("models", "fully_connected").build((5, 4, 3), 2)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [math.prod((5, 4, 3)), 2]


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
