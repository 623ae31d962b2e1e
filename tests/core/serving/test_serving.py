"""What is exported needs nothing but TensorFlow."""

import json

import keras
import numpy as np
import pytest
import tf_keras

from helpers.support import python, small_classifier
from tfrobust import store

pytestmark = pytest.mark.usefixtures("grappler")  # optimise exports, as serving does

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
import json
import runpy
import numpy as np
import tensorflow as tf

images = np.load(sys.argv[1])
for folder, out in json.loads(sys.argv[2]):
    served = tf.saved_model.load(folder).signatures["serving_default"]
    for count in (1, 5):
        logits = served(images=tf.constant(images[:count]))
        assert set(logits) == {"logits", "probabilities"}, set(logits)
    np.savez(out, **{name: value.numpy() for name, value in logits.items()})
assert not {"keras", "tf_keras", "tfrobust"} & set(sys.modules)
sys.argv = [
    "saved_model_cli", "run", "--dir", folder, "--tag_set", "serve",
    "--signature_def", "serving_default", "--inputs", "images=" + sys.argv[1],
]
runpy.run_module("tensorflow.python.tools.saved_model_cli", run_name="__main__")
"""
KINDS = {"keras3": keras, "tf_keras": tf_keras}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The images, each network with the answers of a process with only TensorFlow, its output."""
    folder = tmp_path_factory.mktemp("served")
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    np.save(folder / "images.npy", images)
    networks = {
        name: small_classifier((4, 4, 1), kind=kind, dropout=0.5) for name, kind in KINDS.items()
    }
    jobs = [
        (str(store.export(network, folder / name / "1")), str(folder / f"{name}.npz"))
        for name, network in networks.items()
    ]
    done = python(ALONE, folder / "images.npy", json.dumps(jobs), TF_USE_LEGACY_KERAS="0")
    assert done.returncode == 0, done.stderr[-2000:]
    answers = {name: (networks[name], np.load(folder / f"{name}.npz")) for name in KINDS}
    return images, answers, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_with_only_tensorflow_serves_the_same_logits(kind, served):
    images, answers, _ = served
    classifier, answer = answers[kind]
    expected = classifier.outputs(images)
    assert answer["logits"] == pytest.approx(expected["logits"].numpy(), abs=1e-6)
    assert answer["probabilities"] == pytest.approx(expected["probabilities"].numpy(), abs=1e-6)


def test_saved_model_cli_runs_it(served):
    printed = served[2]
    assert "Result for output key logits" in printed
    assert "Result for output key probabilities" in printed
