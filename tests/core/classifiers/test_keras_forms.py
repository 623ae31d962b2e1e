"""Keras models as others build them: lists, dicts, heads, open sizes, layers of their own."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.forms import reads_bytes
from tfrobust.classifiers.keras.models import check_backend, load_keras_file
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.members import shown_names
from tfrobust.data.reading import check_fits
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.pipeline.named_networks import NamedNetworks

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).uniform(size=(6, *SHAPE)).astype(np.float32)
generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])


def drawn(model):
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def parts(kind, units=3, shape=SHAPE):
    images = kind.layers.Input(shape, name="image")
    return images, kind.layers.Dense(units, name="z")(kind.layers.Flatten()(images))


ONE = {
    "plain": lambda kind, x, z: kind.Model(x, z),
    "list in": lambda kind, x, z: kind.Model([x], z),
    "list out": lambda kind, x, z: kind.Model(x, [z]),
    "lists": lambda kind, x, z: kind.Model([x], [z]),
    "dict in": lambda kind, x, z: kind.Model({"image": x}, z),
    "dict out": lambda kind, x, z: kind.Model(x, {"z": z}),
}


@generations
@pytest.mark.parametrize("form", ONE)
def test_a_list_or_dict_with_one_output_is_that_output(kind, form, tmp_path):
    model = drawn(ONE[form](kind, *parts(kind)))
    expected = np.asarray(drawn(kind.Model(*parts(kind)))(IMAGES))
    assert np.allclose(KerasClassifier(model)(tf.constant(IMAGES)), expected, atol=1e-6)
    model.save(tmp_path / "m.keras")
    loaded = store.load(tmp_path / "m.keras")
    assert np.allclose(loaded(tf.constant(IMAGES)), expected, atol=1e-6)
    assert np.allclose(loaded.logits_in_training(tf.constant(IMAGES)), expected, atol=1e-6)


@generations
def test_several_heads_are_refused_by_name_and_the_advice_keeps_one(kind):
    images, z = parts(kind)
    parity = kind.layers.Dense(2, name="parity")(kind.layers.Flatten()(images))
    model = kind.Model(images, [z, parity])
    with pytest.raises(ClassifierError, match=r"received: z \(None, 3\), parity \(None, 2\).*keep"):
        KerasClassifier(model)
    assert KerasClassifier(kind.Model(model.inputs, model.outputs[0])).num_classes == 3


@generations
def test_several_inputs_are_refused_by_name_and_the_advice_leaves_the_images(kind):
    inputs = [kind.layers.Input(SHAPE, name=name) for name in ("left", "right")]
    joined = kind.layers.Flatten()(kind.layers.Concatenate()(inputs))
    model = kind.Model(inputs, kind.layers.Dense(3)(joined))
    with pytest.raises(ClassifierError, match=r"received: left \(None, 4, 4, 1\), right .*keras"):
        KerasClassifier(model)
    images = kind.layers.Input(SHAPE)
    assert KerasClassifier(kind.Model(images, model([images, images]))).image_shape == SHAPE


def open_sized(kind):
    images = kind.layers.Input((None, None, 1))
    maps = kind.layers.Conv2D(4, 2, activation="tanh")(images)
    return drawn(
        kind.Model(images, kind.layers.Dense(3)(kind.layers.GlobalAveragePooling2D()(maps)))
    )


@generations
def test_an_open_size_is_taken_from_the_scenario_or_fixed_as_advised(kind, tmp_path):
    model = open_sized(kind)
    with pytest.raises(ClassifierError, match=r"fixed size.*\(None, None, None, 1\).*keras.Input"):
        KerasClassifier(model)
    model.save(tmp_path / "m.keras")
    loaded = store.load(tmp_path / "m.keras", options=LoadOptions(image_shape=SHAPE))
    images = kind.layers.Input(SHAPE)
    for classifier in (loaded, KerasClassifier(kind.Model(images, model(images)))):
        assert classifier.image_shape == SHAPE
        assert np.allclose(classifier(tf.constant(IMAGES)), np.asarray(model(IMAGES)), atol=1e-6)


@generations
def test_a_known_size_is_not_taken_from_the_scenario(kind, tmp_path):
    kind.Model(*parts(kind)).save(tmp_path / "m.keras")
    loaded = store.load(tmp_path / "m.keras", options=LoadOptions(image_shape=(9, 9, 1)))
    assert loaded.image_shape == SHAPE


@generations
def test_a_size_that_a_layer_cannot_take_is_refused(kind, tmp_path):
    images = kind.layers.Input((None, None, 1))
    small = kind.layers.Conv2D(3, 6)(images)
    pooled = kind.layers.GlobalAveragePooling2D()(small)
    kind.Model(images, pooled).save(tmp_path / "m.keras")
    with pytest.raises(ClassifierError, match=r"m.keras: model input: it cannot take .*another im"):
        store.load(tmp_path / "m.keras", options=LoadOptions(image_shape=SHAPE))
    another = LoadOptions(image_shape=(8, 8, 1))
    assert store.load(tmp_path / "m.keras", options=another).image_shape == (8, 8, 1)


@generations
def test_flat_images_are_refused_and_the_advice_reshapes_them(kind):
    model = kind.Sequential([kind.layers.Input((16,)), kind.layers.Dense(3)])
    with pytest.raises(ClassifierError, match=r"received: \(None, 16\); reshape inside the model"):
        KerasClassifier(model)
    images = kind.layers.Input(SHAPE)
    reshaped = kind.Model(images, model(kind.layers.Reshape((16,))(images)))
    assert KerasClassifier(reshaped).image_shape == SHAPE


@generations
def test_maps_are_refused_and_the_advice_flattens_them(kind):
    layers = [kind.layers.Input(SHAPE), kind.layers.Conv2D(3, 4)]
    with pytest.raises(ClassifierError, match=r"2 classes or more.*\(None, 1, 1, 3\); end it in"):
        KerasClassifier(kind.Sequential(layers))
    flat = kind.Sequential([*layers, kind.layers.Flatten()])
    assert KerasClassifier(flat).num_classes == 3


class Pair(keras.Model):
    """A subclassed model that returns more than its logits."""

    def __init__(self, alone):
        super().__init__()
        self.flat, self.dense, self.alone = keras.layers.Flatten(), keras.layers.Dense(3), alone

    def call(self, images):
        z = self.dense(self.flat(images))
        return z if self.alone else (z, keras.ops.softmax(z))


def test_a_subclassed_model_that_returns_a_pair_is_refused_and_the_advice_is_right():
    models = [Pair(alone) for alone in (False, True)]
    for model in models:
        model(np.zeros((1, *SHAPE), np.float32))
    with pytest.raises(ClassifierError, match=r"one tensor.*received: tuple; return the logits al"):
        KerasClassifier(models[0])
    assert KerasClassifier(models[1]).num_classes == 3


def test_a_defences_network_that_gives_no_logits_is_exported_first_as_advised(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    images, z = parts(keras)
    model = keras.Model(images, keras.layers.Softmax()(z))
    model.save("soft.keras")
    networks = NamedNetworks("fusion: background", "lenet", {}, SHAPE)
    with pytest.raises(ClassifierError, match=r"^fusion: background: soft.keras.*`tfrobust ex"):
        networks.open("soft.keras", 3)
    store.export(store.load("soft.keras", options=LoadOptions(to_logits=True)), "FOLDER/1")
    again = networks.open("FOLDER", 3)
    assert np.allclose(tf.nn.softmax(again(IMAGES)), np.asarray(model(IMAGES)), atol=1e-6)


@generations
def test_channels_first_are_refused_and_the_advice_turns_them(kind):
    scenario = InMemory(shape=(4, 4, 2))
    images, z = parts(kind, shape=(2, 4, 4))
    model = kind.Model(images, z)
    with pytest.raises(ClassifierError, match=r"m takes channels first.*Permute\(\(3, 1, 2\)\)"):
        check_fits(KerasClassifier(model), scenario, "m")
    x = kind.layers.Input((4, 4, 2))
    turned = KerasClassifier(kind.Model(x, model(kind.layers.Permute((3, 1, 2))(x))))
    check_fits(turned, scenario, "m")
    shown = np.random.default_rng(0).uniform(size=(2, 4, 4, 2)).astype(np.float32)
    expected = np.asarray(model(shown.transpose(0, 3, 1, 2)))
    assert np.allclose(turned(tf.constant(shown)), expected, atol=1e-6)


@generations
@pytest.mark.parametrize(
    ("first", "reads"),
    [
        (lambda layers: layers.Rescaling(1 / 255), True),
        (lambda layers: layers.Rescaling(1 / 127.5, offset=-1), True),
        (lambda layers: layers.Rescaling([1 / 255]), True),
        (lambda layers: lambda x: x / 255.0, True),
        (lambda layers: lambda x: x * (1 / 255.0), True),
        (lambda layers: layers.Normalization(mean=120.0, variance=3600.0), True),
        (lambda layers: layers.Normalization(mean=0.5, variance=0.06), False),
        (lambda layers: layers.Rescaling(2.0, offset=-1), False),
        (lambda layers: layers.Dropout(0.5), False),
    ],
)
def test_a_first_layer_that_rescales_bytes_is_noticed(kind, first, reads):
    images = kind.layers.Input(SHAPE)
    shown = first(kind.layers)(images)
    nested = kind.Model(images, kind.layers.Dense(3)(kind.layers.Flatten()(shown)))
    assert reads_bytes(nested) is reads
    outer = kind.Sequential([kind.layers.Input(SHAPE), nested])
    assert KerasClassifier(outer).reads_bytes is reads


OWN_LAYER = """
import {0}

@{0}.utils.register_keras_serializable("mylab")
class Scale({0}.layers.Layer):
    def call(self, x):
        return 2.0 * x

def halved(x):
    return x / 2.0
"""


@generations
@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_a_custom_layer_is_named_and_the_advice_loads_it(kind, form, tmp_path, monkeypatch):
    name = f"own_layers_of_{kind.__name__}_{form}"
    (tmp_path / f"{name}.py").write_text(OWN_LAYER.format(kind.__name__))
    monkeypatch.chdir(tmp_path)
    options = LoadOptions(custom_objects=(name,))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__(name)
    layers = [kind.layers.Input(SHAPE), module.Scale(), kind.layers.Flatten()]
    model = kind.Sequential([*layers, kind.layers.Dense(3, activation=module.halved)])
    if form == "functional":
        images = kind.layers.Input(SHAPE)
        model = kind.Model(images, kind.layers.Dense(3)(kind.layers.Flatten()(layers[1](images))))
    model.save("m.keras")
    expected = np.asarray(model(IMAGES))
    forgotten = kind.utils.get_custom_objects()
    monkeypatch.delitem(forgotten, "mylab>Scale")
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ClassifierError, match=r"names .*--custom-objects MODULE"):
        store.load("m.keras")
    loaded = store.load("m.keras", options=options)
    assert np.allclose(loaded(tf.constant(IMAGES)), expected, atol=1e-6)
    forgotten.pop("mylab>Scale", None)


def test_a_module_that_cannot_be_imported_costs_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.Model(*parts(keras)).save("m.keras")
    (tmp_path / "broken_layers.py").write_text("1 / 0")
    for name, why in (("no_such_module", "No module named"), ("broken_layers", "division by zero")):
        with pytest.raises(UsageError, match=f"--custom-objects: '{name}'.*{why}.*such as mylab"):
            store.load("m.keras", options=LoadOptions(custom_objects=(name,)))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["a/best.keras", "b/best.keras"], ["a/best.keras", "b/best.keras"]),
        (["a/c/best.keras", "b/c/best.keras"], ["a/c/best.keras", "b/c/best.keras"]),
        (["a/m.keras", "b/n.keras"], ["m.keras", "n.keras"]),
        (["best.keras", "b/best.keras"], ["best.keras", "b/best.keras"]),
        (["x/d1/2", "saved_models/d1/3", "d1"], ["d1/2", "d1/3", "d1"]),
        (["x/d1/2", "y/d1/2"], ["x/d1/2", "y/d1/2"]),
        (["fused:a", "fused:b", "fused"], ["fused:a", "fused:b", "fused"]),
    ],
)
def test_two_models_of_one_name_are_shown_with_the_part_of_their_path_that_differs(given, shown):
    assert shown_names(given) == shown


def test_a_model_that_is_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"'a/m.keras': another one is called .*; give each"):
        shown_names(["a/m.keras", "a/m.keras"])


def test_another_backend_is_refused_in_one_line(monkeypatch, tmp_path):
    keras.Model(*parts(keras)).save(tmp_path / "m.keras")
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UsageError, match=r"expected tensorflow; received: 'jax'; unset it, or set"):
        load_keras_file(tmp_path / "m.keras")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # as the message says
    check_backend()
    monkeypatch.delenv("KERAS_BACKEND")
    check_backend()
