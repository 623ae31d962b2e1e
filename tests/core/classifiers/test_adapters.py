"""All adapters keep one contract: Keras files, SavedModels, wrappers and exports."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.pairs import each_once
from helpers.thinned import thinned
from tfrobust import store
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.logits import to_logits
from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing.adapters import check_promises, gradient_of

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(1).uniform(size=(6, *SHAPE)).astype(np.float32)
GENERATIONS = {"keras3": keras, "tf_keras": tf_keras}
PRECISIONS = ["float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"]
EVERY_RUN = {  # the others are slow
    "keras3": {"float32", "mixed_bfloat16", "float16"},
    "tf_keras": {"mixed_bfloat16", "float64"},
}


def network(kind, dtype="float32", last=None, drop=0.0):
    layers = [
        kind.layers.Input(SHAPE),
        kind.layers.Conv2D(3, 2, activation="tanh", dtype=dtype),
        kind.layers.Flatten(dtype=dtype),
        *([kind.layers.Dropout(drop)] if drop else []),
        kind.layers.Dense(3, activation=last, dtype=dtype),
    ]
    model = kind.Sequential(layers)
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def served(model, folder):
    """Save a model as Keras itself does."""
    if isinstance(model, tf_keras.Model):
        model.save(folder, save_format="tf")
    else:
        model.export(folder, verbose=False)
    return folder


def alike_at(dtype):
    """Return a comparison with the tolerance of a precision: rounding differs between graphs."""
    return lambda a, b: np.abs(np.asarray(a) - b).max() <= share(dtype) * np.abs(b).max()


def share(dtype):
    return {"bfloat16": 0.05, "float16": 0.01}.get(dtype.removeprefix("mixed_"), 1e-5)


@pytest.fixture(scope="module")
def reference():
    return KerasClassifier(network(keras))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(
            kind,
            dtype,
            marks=[] if dtype in EVERY_RUN[kind] else pytest.mark.slow,
        )
        for kind in GENERATIONS
        for dtype in PRECISIONS
    ],
)
def test_a_network_of_any_precision_keeps_the_contract_as_keras_file_and_as_saved_model(
    kind, dtype, reference, tmp_path
):
    if (kind, dtype) == ("tf_keras", "bfloat16"):
        pytest.skip("Keras 2 cannot read what it wrote in pure bfloat16")
    model = network(GENERATIONS[kind], dtype)
    model.save(tmp_path / "m.keras")
    of_file = store.load(tmp_path / "m.keras")
    exported = store.load(store.export(of_file, tmp_path / "m" / "1"))
    foreign = store.load(served(model, tmp_path / "foreign"))
    alike = alike_at(dtype)
    for classifier in (of_file, exported, foreign):
        check_promises(classifier, precision=share(dtype))
        assert alike(classifier(IMAGES), reference(IMAGES))
        assert alike(gradient_of(classifier, IMAGES), gradient_of(of_file, IMAGES))
        assert alike(gradient_of(classifier, IMAGES), gradient_of(reference, IMAGES))


class Both(Classifier):
    """The mean of two classifiers, whose outputs are served too."""

    def __init__(self, **members):
        super().__init__(image_shape=SHAPE, num_classes=3)
        self.members = members

    def __call__(self, images):
        return sum(member(images) for member in self.members.values()) / len(self.members)

    def outputs(self, images):
        inside = {name: member(images) for name, member in self.members.items()}
        return super().outputs(images) | inside


def wrapped_ones():
    plain = KerasClassifier(network(keras))
    mc = create("defenses", "mc_dropout", samples=4)
    return {
        "wrapped": lambda: Wrapped(plain),
        "converted": lambda: KerasClassifier(to_logits(network(keras, last="softmax"))),
        "mean of members": lambda: Both(a=plain, b=KerasClassifier(network(tf_keras))),
        "mean of passes": lambda: (
            mc.apply(KerasClassifier(network(keras, drop=0.5)), None, None).classifier
        ),
    }


@pytest.mark.parametrize("name", ["wrapped", "converted", "mean of members", "mean of passes"])
def test_wrappers_of_a_network_and_their_exports_keep_the_contract(name, tmp_path):
    classifier = wrapped_ones()[name]()
    check_promises(classifier)
    exported = store.load(store.export(classifier, tmp_path / "m" / "1"))
    check_promises(exported)
    assert list(exported.members) == list(classifier.members)
    for member in exported.members.values():
        check_promises(member)


@pytest.mark.parametrize(
    ("last", "dtype"),
    each_once(["softmax", "sigmoid", "tanh"], ["float32", "mixed_float16", "mixed_bfloat16"]),
)
def test_a_saved_model_is_cut_before_its_last_activation_with_its_gradients(last, dtype, tmp_path):
    model = network(keras, dtype, last)
    folder = served(model, tmp_path / "m")
    converted = store.load(folder, options=LoadOptions(to_logits=True))
    assert converted.notices == (f"its last {last} is left out",)
    check_promises(converted, precision=share(dtype))
    linear = KerasClassifier(to_logits(model))
    alike = alike_at(dtype)
    assert alike(converted(IMAGES), linear(IMAGES))
    assert alike(gradient_of(converted, IMAGES), gradient_of(linear, IMAGES))
    again = store.load(store.export(converted, tmp_path / "again" / "1"))
    check_promises(again, precision=share(dtype))
    assert alike(again(IMAGES), converted(IMAGES))
    assert again.gives_logits


@pytest.mark.parametrize(
    ("of", "form"),
    each_once([(0.0, 255.0), (-1.0, 1.0), (-127.5, 127.5)], ["keras3", "tf_keras", "saved model"]),
)
def test_pixels_are_scaled_inside_the_classifier_and_in_its_export(of, form, tmp_path):
    least, most = of
    kind = GENERATIONS.get(form, keras)
    core = network(kind)
    images = kind.layers.Input(SHAPE)
    undone = kind.layers.Rescaling(1 / (most - least), offset=-least / (most - least))
    model = kind.Model(images, core(undone(images)))
    if form == "saved model":
        path = served(model, tmp_path / "m")
    else:
        path = tmp_path / "m.keras"
        model.save(path)
    classifier = store.load(path, options=LoadOptions(pixel_range=of))
    check_promises(classifier)
    expected = KerasClassifier(network(keras))
    assert np.allclose(classifier(IMAGES), expected(IMAGES), atol=1e-4)
    assert np.allclose(gradient_of(classifier, IMAGES), gradient_of(expected, IMAGES), atol=1e-4)
    exported = store.load(store.export(classifier, tmp_path / "again" / "1"))
    assert np.allclose(exported(IMAGES), expected(IMAGES), atol=1e-4)
    assert not exported.reads_bytes


def test_the_size_of_a_cut_saved_model_is_that_of_its_weights(tmp_path):
    from tfrobust.classifiers.inference import parameters

    model = network(keras, last="softmax")
    converted = store.load(served(model, tmp_path / "m"), options=LoadOptions(to_logits=True))
    assert parameters(converted) == model.count_params()
    assert tf.is_tensor(converted(IMAGES))


L = keras.layers
MIDDLES = {
    "gelu": [L.Conv2D(4, 3, activation="gelu")],
    "normed by layer": [L.Conv2D(4, 3, activation="silu"), L.LayerNormalization()],
    "normed by group": [L.Conv2D(4, 3), L.GroupNormalization(2)],
    "sampled up": [L.UpSampling2D(2, interpolation="bilinear"), L.Conv2DTranspose(4, 3)],
    "augmented": [L.RandomFlip(), L.RandomRotation(0.1), L.Dropout(0.3), L.GaussianNoise(0.1)],
    "recurrent": [L.Reshape((4, 4)), L.LSTM(4)],
}


@pytest.mark.parametrize("name", MIDDLES)
def test_networks_of_many_kinds_of_layers_keep_the_contract(name, tmp_path):
    layers = [keras.Input(SHAPE), *MIDDLES[name], L.Flatten(), L.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    classifier = store.load(tmp_path / "m.keras")
    check_promises(classifier)
    assert classifier.gives_logits


def test_a_network_with_attention_keeps_the_contract(tmp_path):
    images = keras.Input(SHAPE)
    pixels = L.Reshape((16, 1))(images)
    attended = L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 4)(pixels, pixels))
    keras.Model(images, L.Dense(3)(attended)).save(tmp_path / "m.keras")
    check_promises(store.load(tmp_path / "m.keras"))


HEADS = "softmax", "sigmoid", "rounded softmax", "file of sigmoids"


@pytest.mark.parametrize("head", thinned(HEADS, one_in=2))
def test_a_converted_network_has_the_figures_of_its_linear_head(
    head, trained, test_images, tmp_path
):
    images, labels = test_images
    last = {"sigmoid": tf.sigmoid, "softmax": tf.nn.softmax}.get(head)
    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32, name="images")

    def rounded(logits):
        return tf.cast(tf.nn.softmax(tf.cast(logits, tf.bfloat16)), tf.float32)

    if head == "file of sigmoids":
        sigmoids = L.Activation("sigmoid")(trained.model.outputs[0])
        path = tmp_path / "m.keras"
        keras.Model(trained.model.inputs[0], sigmoids).save(path)
    else:
        module, path = tf.Module(), tmp_path / "m"
        module.model = trained.model
        serve = tf.function(lambda images: {"p": (last or rounded)(trained(images))}, [spec])
        tf.saved_model.save(module, str(path), {"serving_default": serve})
    converted = store.load(path, options=LoadOptions(to_logits=True))
    pgd = create("attacks", "pgd", eps=0.1, steps=5)
    broken = [
        int((np.argmax(c(run_attack(pgd, c, images, labels).images), 1) != labels).sum())
        for c in (trained, converted)
    ]
    assert broken[0] > 10
    assert abs(broken[0] - broken[1]) <= (1 if head == "rounded softmax" else 0)
