"""The ImageNet architectures: their sizes, where their pixels lie, and what they refuse."""

import keras
import numpy as np
import pytest

from helpers import torchvision_reference as reference
from helpers.keras_networks import FUNCTIONS, images_of, randomise, undrawn
from helpers.thinned import thinned
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.registry import create, name_of
from tfrobust.store.models import export, load

SMALLEST = 32
PUBLISHED = {  # how many weights, at 1000 classes, for images of 224 pixels
    "resnet50": 25_636_712,
    "resnet101": 44_707_176,
    "resnet50v2": 25_613_800,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "mobilenet": 4_253_864,
    "efficientnet_b1": 7_856_239,
}


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def starts_he_normal(model):
    """Tell whether the kernels of convolutions have the deviation that He asks for."""
    kernels = [
        layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    ratios = [k.std() / np.sqrt(2 / np.prod(k.shape[:3])) for k in kernels if k.size > 4000]
    return len(ratios) > 10 and np.allclose(ratios, 1, atol=0.05)


def averages_do_not_lag(model):
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return {norm.momentum for norm in norms} <= {0.9}


@pytest.mark.parametrize(("name", "depth", "count"), [
    ("resnet18", 18, 11_689_512),
    pytest.param("resnet34", 34, 21_797_672, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_basic_resnet_is_torchvisions_in_every_shape(name, depth, count):
    model = create("models", name).build((224, 224, 3), 1000)
    assert trainable(model) == count
    shapes = reference.resnet_shapes(depth, 1000)
    learned = [shape for key, shape in shapes.items() if key.endswith(("weight", "bias"))]
    assert count == sum(int(np.prod(shape)) for shape in learned)
    maps = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert maps["conv1"] == (112, 112, 64)
    assert maps["maxpool"] == (56, 56, 64)
    for stage, (side, filters) in enumerate(((56, 64), (28, 128), (14, 256), (7, 512)), 1):
        assert maps[f"layer{stage}.1"] == (side, side, filters)


@pytest.mark.parametrize(("name", "count"), [
    ("resnet50", 25_557_032), ("resnet101", 44_549_160),
])  # fmt: skip
def test_a_bottleneck_resnet_of_ours_is_torchvisions_and_starts_he_normal(name, count):
    depth = int(name.removeprefix("resnet"))
    ours = create("models", name, width=0.25).build((32, 32, 3), 1000)
    shapes = reference.resnet_shapes(depth, 1000, width=0.25)
    learned = [shape for key, shape in shapes.items() if key.endswith(("weight", "bias"))]
    assert trainable(ours) == sum(int(np.prod(shape)) for shape in learned)
    whole = reference.resnet_shapes(depth, 1000)
    learned = [shape for key, shape in whole.items() if key.endswith(("weight", "bias"))]
    assert sum(int(np.prod(shape)) for shape in learned) == count
    assert starts_he_normal(ours)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_published_network_is_built_by_kerass_function(name):
    plugin = create("models", name)
    assert plugin.application is FUNCTIONS[name]
    assert name_of(plugin) == name


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_published_network_is_kerass_in_every_shape(name):
    ours = create("models", name).build((32, 32, 3), 10)
    theirs = FUNCTIONS[name](
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]


# The others have the same code, and more layers.
@pytest.mark.parametrize(
    "name",
    thinned(
        (
            pytest.param(name, marks=pytest.mark.slow if name in ("resnet101", "vgg19") else [])
            for name in FUNCTIONS
        ),
        one_in=2,
    ),
)
def test_the_published_network_is_kerass_with_averages_that_do_not_lag_and_he_normal_kernels(
    name, monkeypatch
):
    plugin = create("models", name)
    if plugin.he_normal:  # they are drawn once more
        undrawn(monkeypatch, keras.initializers.GlorotUniform)
    ours = plugin.build((32, 32, 3), 1000)
    smaller = (7 * 7 - 1) * 512 * 4096 if name.startswith("vgg") else 0  # the first dense layer
    assert ours.count_params() == PUBLISHED[name] - smaller
    assert averages_do_not_lag(ours)
    assert starts_he_normal(ours) == plugin.he_normal


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet",
        pytest.param("resnet50v2", marks=pytest.mark.slow),
        pytest.param("vgg16", marks=pytest.mark.slow),
    ],
)
def test_a_network_built_here_computes_what_kerass_does_and_starts_he_normal(name, monkeypatch):
    plugin = create("models", name)
    monkeypatch.setattr(type(plugin), "_by_keras", False)
    ours = plugin.build((64, 64, 3), 10)
    assert averages_do_not_lag(ours)
    assert starts_he_normal(ours)
    undrawn(monkeypatch)
    theirs = FUNCTIONS[name](
        weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    randomise(ours)
    for layer, twin in zip(*_in_one_order(ours, theirs, name), strict=True):
        weights = zip(layer.get_weights(), twin.weights, strict=True)
        twin.set_weights([value.reshape(variable.shape) for value, variable in weights])
    images = images_of((64, 64, 3))
    expected = theirs(images * 2 - 1).numpy()
    np.testing.assert_allclose(ours(images), expected, atol=1e-4 * np.abs(expected).max())


def _in_one_order(ours, theirs, name):
    """Return the layers with weights of both, those of ResNet-50V2 by Keras's names."""
    ours, theirs = ([layer for layer in m.layers if layer.weights] for m in (ours, theirs))
    if name != "resnet50v2":
        return ours, theirs
    known = {layer.name: layer for layer in theirs}
    parts = {"downsample": "0_conv"} | {
        f"{p}{k}": f"{k}_{p}" for p in ("conv", "bn") for k in (1, 2, 3)
    }
    twins = []
    for layer in ours:
        *place, part = layer.name.split(".")
        if place:
            stage, block = int(place[0][-1]) + 1, int(place[1]) + 1
            twins.append(known[f"conv{stage}_block{block}_{parts.get(part, part)}"])
        else:
            twins.append(known[{"conv1": "conv1_conv"}.get(part, part)])
    return ours, twins


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_a_network_keras_does_not_have_has_no_imagenet_weights(name):
    with pytest.raises(UsageError, match=f"{name}: weights: .*no ImageNet weights for this"):
        create("models", name, weights="imagenet")


@pytest.mark.parametrize(("name", "options", "words"), [
    ("mobilenet", {"weights": "net.pth"}, "mobilenet: weights: .*none or imagenet.*net.pth"),
    ("efficientnet_b1", {"stem": "cifar"}, "has no option 'stem'"),
    ("resnet50", {"weights": "imagenet", "width": 0.5}, "resnet50: width: .*only the published"),
    ("efficientnet_b1", {"weights": "imagenet", "width": 0.5}, "efficientnet_b1: width: .*only"),
    ("vgg16", {"weights": "imagenet", "stem": "cifar"}, "vgg16: stem: .*only the published"),
    ("vgg19", {"weights": "imagenet", "batch_norm": True}, "vgg19: batch_norm: .*torchvision's"),
    ("resnet18", {"width": 0}, "resnet18: width: .*greater than 0"),
    ("resnet50", {"weights": "imagenet", "normalized": "cifar10"}, "normalized: .*other pixels"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        create("models", name, **options)


@pytest.mark.parametrize(("normalized", "mean", "deviation"), [
    ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("own", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])  # fmt: skip
@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_pixels_are_normalised_by_the_mean_and_deviation_that_are_named(
    name, normalized, mean, deviation
):
    options = {"normalized": normalized, "stem": "cifar", "width": 0.05}
    model = create("models", name, **options).build((8, 8, 3), 4)
    pixels = model.get_layer("pixels")
    images = images_of((8, 8, 3))
    np.testing.assert_allclose(pixels(images), (images - mean) / deviation, atol=1e-5)
    if normalized != "own":  # grey has the mean of the three numbers
        grey = create("models", name, **options).build((8, 8, 1), 4).get_layer("pixels")
        expected = -np.mean(np.divide(mean, deviation))
        np.testing.assert_allclose(grey(np.zeros((1, 8, 8, 1))), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet50", "resnet50v2", "vgg19", "mobilenet"])
def test_images_too_small_are_refused_with_two_ways_out(name):
    builder = create("models", name)
    assert builder.smallest_side == SMALLEST
    with pytest.raises(UsageError, match=r"32×32 or larger.*8×31.*digits.size=32.*stem=cifar"):
        builder.build((8, 31, 1), 10)
    assert create("models", name, stem="cifar").smallest_side == 1


def test_efficientnet_has_one_way_out():
    with pytest.raises(UsageError, match=r"received: 8×8; enlarge .*digits.size=32$"):
        create("models", "efficientnet_b1").build((8, 8, 1), 10)


@pytest.mark.parametrize(("name", "shape"), [
    ("resnet18", (4, 4, 1)),
    ("resnet50v2", (5, 7, 3)),
    ("vgg19", (4, 4, 1)),
    ("mobilenet", (5, 7, 3)),
    *(
        pytest.param(name, shape, marks=pytest.mark.slow)
        for name, shape in (
            ("resnet18", (5, 7, 3)),
            ("resnet50", (4, 4, 1)),
            ("resnet50", (5, 7, 3)),
            ("resnet50v2", (4, 4, 1)),
            ("vgg19", (5, 7, 3)),
            ("mobilenet", (4, 4, 1)),
        )
    ),
])  # fmt: skip
def test_the_variant_for_small_images_accepts_all_sizes(name, shape):
    model = create("models", name, stem="cifar", width=0.05).build(shape, 3)
    assert model(images_of(shape)).shape == (2, 3)


@pytest.mark.parametrize(("name", "options", "shape"), [
    # `test_torch_weights` serves it with loaded weights.
    pytest.param("resnet18", {"width": 0.25}, (16, 16, 1), marks=pytest.mark.slow),
    ("vgg16", {"width": 0.125}, (32, 32, 1)),
    pytest.param("mobilenet", {}, (32, 32, 1), marks=pytest.mark.slow),
    pytest.param("resnet50v2", {"stem": "cifar"}, (16, 16, 3), marks=pytest.mark.slow),
    pytest.param("efficientnet_b1", {}, (32, 32, 1), marks=pytest.mark.slow),
])  # fmt: skip
def test_a_network_is_served_as_it_is(name, options, shape, tmp_path):
    model = create("models", name, **options).build(shape, 4)
    randomise(model)
    images = images_of(shape)
    folder = export(KerasClassifier(model), tmp_path / "1")
    np.testing.assert_allclose(load(folder)(images), model(images), atol=1e-4, rtol=1e-4)
    model.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "net.keras")(images), model(images)
    )
