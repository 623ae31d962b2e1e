"""Larq needs Keras 2 behind `tf.keras`: who imported TensorFlow first is told so in one line."""

import pytest

from helpers.support import python

TRY = """
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
    "tf.keras read first": "tf.keras.layers.Dense\n",
}


@pytest.mark.parametrize("between", LATE.values(), ids=list(LATE))
def test_tensorflow_imported_first_costs_a_line_each_time(between, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    done = python(f"import sys\nimport tensorflow as tf\n{between}import tfrobust\n{TRY}")
    said = done.stdout.strip().splitlines()
    assert len(said) == 4, done.stdout + done.stderr[-800:]
    for line in said[:2]:
        assert "Larq needs Keras 2" in line
        assert "TF_USE_LEGACY_KERAS=1" in line
    assert said[2] == "False"
    assert said[3] == "LeNet"


def test_tfrobust_imported_second_leaves_tf_keras_as_it_is(monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    code = "import tensorflow as tf, tfrobust; print(tf.keras.layers.Layer, tf.optimizers.Adam)"
    said = python(code).stdout
    assert said.count("keras.src") == 2
    assert "tf_keras" not in said


@pytest.mark.parametrize("value", [None, "1", "True"])
def test_tfrobust_imported_first_makes_larq_work(value, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    code = """
import tfrobust, tensorflow as tf
print(type(tfrobust.create("models", "lenet_bnn")).__name__, tf.keras.layers.Layer.__module__)
"""
    done = python(code, **({"TF_USE_LEGACY_KERAS": value} if value else {}))
    assert done.stdout.split() == ["LeNetBnn", "tf_keras.src.engine.base_layer"], done.stderr[-800:]
