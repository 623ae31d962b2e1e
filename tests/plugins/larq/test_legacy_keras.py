"""Larq needs Keras 2 behind `tf.keras`: one line says so where TensorFlow was imported first."""

import pytest

from helpers.interpreters import after_tensorflow
from helpers.support import python
from tfrobust.registry import create

TRY = """
import sys
import tfrobust
from tfrobust.errors import PluginError
for _ in range(2):  # nothing half imported stays behind
    try:
        tfrobust.create("models", "lenet_bnn")
    except PluginError as error:
        print(error)
print("larq" in sys.modules)
print(type(tfrobust.create("models", "lenet")).__name__)
"""
LATE = {
    "the variable unset": "",
    "set late": "import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'\n",
    "set late to another value": "import os; os.environ['TF_USE_LEGACY_KERAS'] = '0'\n",
    "tf.keras read first": "import tensorflow as tf; tf.keras.layers.Dense\n",
}
WHICH = "import tensorflow as tf, tfrobust; print(tf.keras.layers.Layer, tf.optimizers.Adam)"


@pytest.fixture(scope="module")
def printed():
    """The output and the errors of all cases that import TensorFlow first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TF_USE_LEGACY_KERAS", raising=False)
        texts, errors = after_tensorflow([*(before + TRY for before in LATE.values()), WHICH])
    return dict(zip([*LATE, "which"], texts, strict=True)), errors


@pytest.mark.parametrize("between", LATE)
def test_tensorflow_imported_first_costs_a_line_every_time(between, printed):
    lines = printed[0][between].strip().splitlines()
    assert len(lines) == 4, printed
    for line in lines[:2]:
        assert "Larq needs Keras 2" in line
        assert "TF_USE_LEGACY_KERAS=1" in line
    assert lines[2] == "False"
    assert lines[3] == "LeNet"


def test_tfrobust_imported_second_leaves_tf_keras_as_it_is(printed):
    names = printed[0]["which"]
    assert names.count("keras.src") == 2
    assert "tf_keras" not in names


FIRST = """
import sys
import tfrobust, tensorflow as tf
from tfrobust import store
print(type(tfrobust.create("models", "lenet_bnn")).__name__, tf.keras.layers.Layer.__module__)
print(store.load(sys.argv[1]).stochastic)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The file of a network with our layers."""
    path = tmp_path_factory.mktemp("saved") / "m.keras"
    create("models", "lenet_quantized", bits=2).build((28, 28, 1), 10).save(path)
    return path


# All other tests run with 1, which `conftest` sets.
@pytest.mark.parametrize(
    "value", [None, *(pytest.param(value, marks=pytest.mark.slow) for value in ("1", "True"))]
)
def test_tfrobust_imported_first_makes_larq_work_and_finds_its_layers(value, saved, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    done = python(FIRST, saved, **({"TF_USE_LEGACY_KERAS": value} if value else {}))
    printed = done.stdout.split()
    assert printed == ["LeNetBnn", "tf_keras.src.engine.base_layer", "False"], done.stderr[-800:]
