"""What is exported needs nothing but TensorFlow."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tf_keras

from helpers.support import python, small_classifier
from tfrobust import store

ALONE = """
import importlib.util
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tf_keras", "tfrobust", "cleverhans", "larq"):
            return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is not on this machine")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Block())
import numpy as np
import tensorflow as tf

folder, images, out = sys.argv[1:]
served = tf.saved_model.load(folder).signatures["serving_default"]
images = np.load(images)
for count in (1, 5):
    logits = served(images=tf.constant(images[:count]))
    assert set(logits) == {"logits", "probabilities"}, set(logits)
np.savez(out, **{name: value.numpy() for name, value in logits.items()})
assert not {"keras", "tf_keras", "tfrobust"} & set(sys.modules)
"""


@pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_a_process_with_only_tensorflow_serves_the_same_logits(kind, tmp_path):
    classifier = small_classifier((4, 4, 1), kind=kind, dropout=0.5)
    folder = store.export(classifier, tmp_path / "m" / "1")
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    done = python(
        ALONE, folder, tmp_path / "images.npy", tmp_path / "out.npz", TF_USE_LEGACY_KERAS="0"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "out.npz") as served:
        expected = classifier.outputs(images)
        assert served["logits"] == pytest.approx(expected["logits"].numpy(), abs=1e-6)
        assert served["probabilities"] == pytest.approx(expected["probabilities"].numpy(), abs=1e-6)


def test_saved_model_cli_runs_it(tmp_path):
    folder = store.export(small_classifier((4, 4, 1)), tmp_path / "m" / "1")
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
    options = ["--tag_set", "serve", "--signature_def", "serving_default"]
    np.save(tmp_path / "two.npy", np.zeros((2, 4, 4, 1), np.float32))
    images = ["--inputs", f"images={tmp_path / 'two.npy'}"]
    done = subprocess.run(
        [*tool, "--dir", str(folder), *options, *images],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Result for output key logits" in done.stdout
    assert "Result for output key probabilities" in done.stdout
