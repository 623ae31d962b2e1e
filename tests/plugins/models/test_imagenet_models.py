"""The ImageNet architectures: their sizes, where their pixels lie, and what they refuse."""

import keras
import numpy as np
import pytest

from helpers import torchvision_reference as reference
from helpers.keras_networks import FUNCTIONS, images_of, randomise
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.store.models import export, load

SMALLEST = 32


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(("name", "depth", "count"), [
    ("resnet18", 18, 11_689_512),
    ("resnet34", 34, 21_797_672),
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
def test_a_bottleneck_resnet_of_ours_is_torchvisions(name, count):
    depth = int(name.removeprefix("resnet"))
    ours = create("models", name, width=0.25).build((32, 32, 3), 1000)
    shapes = reference.resnet_shapes(depth, 1000, width=0.25)
    learned = [shape for key, shape in shapes.items() if key.endswith(("weight", "bias"))]
    assert trainable(ours) == sum(int(np.prod(shape)) for shape in learned)
    whole = reference.resnet_shapes(depth, 1000)
    learned = [shape for key, shape in whole.items() if key.endswith(("weight", "bias"))]
    assert sum(int(np.prod(shape)) for shape in learned) == count


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_published_network_is_kerass(name):
    ours = create("models", name).build((32, 32, 3), 10)
    theirs = FUNCTIONS[name](
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]


@pytest.mark.parametrize("name", ["resnet50v2", "mobilenet", "vgg16"])
def test_a_network_built_here_computes_what_kerass_does(name, monkeypatch):
    plugin = create("models", name)
    monkeypatch.setattr(type(plugin), "_by_keras", False)
    ours = plugin.build((64, 64, 3), 10)
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


@pytest.mark.parametrize("name", ["resnet50", "mobilenet"])
def test_moving_averages_do_not_lag(name):
    model = create("models", name).build((32, 32, 1), 3)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_a_network_keras_does_not_have_has_no_imagenet_weights(name):
    with pytest.raises(UsageError, match=f"{name}: weights: .*no ImageNet weights for this"):
        create("models", name, weights="imagenet")


@pytest.mark.parametrize(("name", "options", "words"), [
    ("mobilenet", {"weights": "net.pth"}, "mobilenet: weights: .*none or imagenet.*net.pth"),
    ("efficientnet_b1", {"stem": "cifar"}, "has no option 'stem'"),
    ("resnet50", {"weights": "imagenet", "width": 0.5}, "resnet50: width: .*only the published"),
    ("vgg16", {"weights": "imagenet", "stem": "cifar"}, "vgg16: stem: .*only the published"),
    ("vgg19", {"weights": "imagenet", "batch_norm": True}, "vgg19: batch_norm: .*torchvision's"),
    ("resnet18", {"width": 0}, "resnet18: width: .*greater than 0"),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        create("models", name, **options)


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


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50v2", "vgg19", "mobilenet"])
@pytest.mark.parametrize("shape", [(4, 4, 1), (5, 7, 3)])
def test_the_variant_for_small_images_accepts_all_sizes(name, shape):
    model = create("models", name, stem="cifar", width=0.05).build(shape, 3)
    assert model(images_of(shape)).shape == (2, 3)


@pytest.mark.parametrize(("name", "options", "shape"), [
    ("resnet18", {"width": 0.25}, (16, 16, 1)),
    ("vgg16", {"width": 0.125}, (32, 32, 1)),
    ("mobilenet", {}, (32, 32, 1)),
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


def test_vgg_starts_from_he_normal_kernels():
    model = create("models", "vgg19").build((32, 32, 1), 10)
    layer = model.get_layer("block5_conv4")
    deviation = layer.kernel.numpy().std()
    assert deviation == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", ["resnet50", "resnet50v2", "vgg16"])
def test_untrained_kernels_are_he_normal_in_both_builds_of_the_network(name):
    for options in ({}, {"width": 0.5}):
        model = create("models", name, **options).build((32, 32, 1), 10)
        kernels = [
            layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
        ]
        ratios = [k.std() / np.sqrt(2 / np.prod(k.shape[:3])) for k in kernels if k.size > 4000]
        assert len(ratios) > 10
        assert np.allclose(ratios, 1, atol=0.05)
