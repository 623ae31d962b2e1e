"""Keras files from anywhere: of either generation, damaged, or with hidden code."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import small_model
from tfrobust import store
from tfrobust.errors import ClassifierError

SHAPE = (4, 4, 1)
generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])


@generations
def test_a_keras_file_of_either_generation_is_a_classifier(kind, tmp_path):
    model = small_model(SHAPE, kind=kind)
    model.save(tmp_path / "m.keras")
    images = tf.random.stateless_uniform((3, *SHAPE), (0, 0))
    assert np.allclose(store.load(tmp_path / "m.keras")(images), np.asarray(model(images)))


@pytest.mark.parametrize("keep", [0, 100, 3000])
@generations
def test_a_truncated_keras_file_is_refused_in_one_line(kind, keep, tmp_path):
    path = tmp_path / "m.keras"
    small_model(SHAPE, kind=kind).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ClassifierError, match=r"m.keras: not a readable .keras file") as refusal:
        store.load(path)
    assert "\n" not in str(refusal.value)


@generations
def test_code_hidden_in_a_keras_file_is_refused_and_never_run(kind, tmp_path):
    mark = tmp_path / "ran"
    evil = eval(f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]")  # noqa: S307
    layers = [
        kind.layers.Input(SHAPE),
        kind.layers.Lambda(evil, output_shape=SHAPE),
        kind.layers.Flatten(),
        kind.layers.Dense(3),
    ]
    kind.Sequential(layers).save(tmp_path / "evil.keras")
    mark.unlink(missing_ok=True)
    with pytest.raises(ClassifierError, match=r"run code stored in the file") as refusal:
        store.load(tmp_path / "evil.keras")
    assert not mark.exists()
    assert "\n" not in str(refusal.value)


def test_nan_weights_in_a_keras_file_are_refused(tmp_path):
    model = small_model(SHAPE)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ClassifierError, match=r"NaN or infinity; train it again"):
        store.load(tmp_path / "m.keras")
