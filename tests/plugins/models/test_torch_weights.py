"""torchvision's state dicts give torchvision's logits in every file format."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import torchvision_reference as reference
from helpers.files import torch_files as files
from helpers.support import python
from tfrobust.registry import create
from tfrobust_models.torch_weights import read_state_dict

FORMATS = {
    "zip": files.zipped,
    "legacy": files.legacy,
    "safetensors": files.safetensors,
    "places365": files.checkpoint_of_python_2,
}
NARROW = 0.125


def images_of(shape, count=2, seed=5):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)


def logits_of(name, path, images, classes, **options):
    model = create("models", name, weights=str(path), **options).build(images.shape[1:], classes)
    return model(images).numpy()


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def state():
    """The state dict of a narrow ResNet-18."""
    return reference.random_state(reference.resnet_shapes(18, 5, width=NARROW))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_tensors(form, state, tmp_path):
    read = read_state_dict(FORMATS[form](tmp_path / "net.pth.tar", state))
    assert read.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("depth", [18, 34, 50, pytest.param(101, marks=pytest.mark.slow)])
def test_a_resnet_computes_what_torchvision_computes(depth, tmp_path):
    state = reference.random_state(reference.resnet_shapes(depth, 6, width=NARROW), depth)
    path = files.zipped(tmp_path / "net.pth", state)
    images = images_of((45, 38, 3))
    ours = logits_of(f"resnet{depth}", path, images, 6, width=NARROW)
    close(ours, reference.resnet_logits(state, images.astype(np.float64), depth))


@pytest.mark.parametrize(("depth", "side"), [(16, 224), (19, 96), (16, 40)])
def test_a_vgg_computes_what_torchvision_computes(depth, side, tmp_path):
    state = reference.random_state(reference.vgg_shapes(depth, 6, width=1 / 16), depth)
    path = files.safetensors(tmp_path / "net.safetensors", state)
    images = images_of((side, side, 3))
    ours = logits_of(f"vgg{depth}", path, images, 6, width=1 / 16)
    close(ours, reference.vgg_logits(state, images.astype(np.float64), depth))


@pytest.mark.slow
def test_the_places365_checkpoint_loads_at_full_width(tmp_path):
    state = reference.random_state(reference.resnet_shapes(18, 365))
    path = files.checkpoint_of_python_2(tmp_path / "resnet18_places365.pth.tar", state)
    images = images_of((64, 64, 3))
    ours = logits_of("resnet18", path, images, 365)
    close(ours, reference.resnet_logits(state, images.astype(np.float64), 18))


def test_a_grey_image_gives_what_it_gives_repeated_three_times(state, tmp_path):
    path = files.zipped(tmp_path / "net.pth", state)
    grey = images_of((16, 16, 1))
    colour = np.repeat(grey, 3, axis=-1)
    ours = [logits_of("resnet18", path, x, 5, width=NARROW) for x in (grey, colour)]
    np.testing.assert_array_equal(*ours)


def test_other_channels_share_the_mean_of_the_first_kernel(state, tmp_path):
    path = files.zipped(tmp_path / "net.pth", state)
    model = create("models", "resnet18", weights=str(path), width=NARROW).build((16, 16, 4), 5)
    kernel = model.get_layer("conv1").kernel.numpy()
    mean = state["conv1.weight"].transpose(2, 3, 1, 0).mean(2)
    for channel in range(4):
        np.testing.assert_allclose(kernel[:, :, channel], mean * 3 / 4, rtol=1e-5)


def test_a_network_of_grey_images_keeps_its_kernel(tmp_path):
    shapes = reference.resnet_shapes(18, 5, width=NARROW) | {"conv1.weight": (8, 1, 3, 3)}
    state = reference.random_state(shapes)
    path = files.zipped(tmp_path / "net.pth", state)
    model = create("models", "resnet18", weights=str(path), width=NARROW, stem="cifar")
    kernel = model.build((8, 8, 1), 5).get_layer("conv1").kernel.numpy()
    np.testing.assert_array_equal(kernel, state["conv1.weight"].transpose(2, 3, 1, 0))


def test_a_new_head_keeps_all_but_the_last_layer(state, tmp_path):
    path = files.zipped(tmp_path / "net.pth", state)
    options = {"weights": str(path), "width": NARROW, "head": "new"}
    model = create("models", "resnet18", **options).build((16, 16, 3), 11)
    assert model.output_shape == (None, 11)
    kernel = model.get_layer("layer4.1.conv2").kernel.numpy()
    np.testing.assert_array_equal(kernel, state["layer4.1.conv2.weight"].transpose(2, 3, 1, 0))


def test_half_precision_and_transposed_storage_are_read(tmp_path):
    values = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    halves = {"a": values.astype(np.float16), "b": np.asfortranarray(values)}
    for write in (files.zipped, files.legacy):
        read = read_state_dict(write(tmp_path / "net.pth", halves))
        np.testing.assert_array_equal(read["a"], halves["a"])
        np.testing.assert_array_equal(read["b"], values)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
    read = read_state_dict(files.safetensors(tmp_path / "net.safetensors", {"a": bits}))
    np.testing.assert_allclose(read["a"], values, rtol=2**-7)


@pytest.mark.slow
def test_a_loaded_network_is_served_and_saved_without_this_package(state, tmp_path):
    path = files.zipped(tmp_path / "net.pth", state)
    model = create("models", "resnet18", weights=str(path), width=NARROW).build((16, 16, 1), 5)
    images = images_of((16, 16, 1))
    model.save(tmp_path / "net.keras")
    model.export(tmp_path / "served", verbose=False)
    np.save(tmp_path / "images.npy", images)
    code = """
import sys
sys.modules.update(dict.fromkeys(("tfrobust", "tfrobust_models")))  # importing them now fails
import numpy as np
folder = sys.argv[1]
images = np.load(folder + "/images.npy")
import tensorflow as tf
loaded = tf.saved_model.load(folder + "/served")
served = loaded.serve(images).numpy()
import keras
kept = keras.models.load_model(folder + "/net.keras")(images).numpy()
np.save(folder + "/logits.npy", np.stack([served, kept]))
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    for logits in np.load(tmp_path / "logits.npy"):
        np.testing.assert_allclose(logits, model(images).numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 40, 3), (32, 70, 3), (96, 64, 3)])
def test_an_adaptive_pooling_is_traced_and_survives_saving(shape, tmp_path):
    state = reference.random_state(reference.vgg_shapes(16, 6, width=1 / 16))
    path = files.zipped(tmp_path / "net.pth", state)
    model = create("models", "vgg16", weights=str(path), width=1 / 16).build(shape, 6)
    model.save(tmp_path / "net.keras")
    images = images_of(shape)
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    traced = tf.function(loaded, input_signature=[tf.TensorSpec((None, *shape))])(images)
    np.testing.assert_allclose(traced, model(images), atol=1e-5)
