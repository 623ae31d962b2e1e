"""Exports are read by programs that share no code with tfrobust, to the same answers.

`make readers` installs them: OpenVINO and LiteRT beside TensorFlow, KServe's Python model server in
a virtual environment of its own.
"""

import base64
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
import tensorflow as tf

from helpers.kserve_server import ask, serving
from helpers.support import InMemory, small_model
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.registry import create
from tfrobust.serving import ExportSettings, export

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("grappler")]
IMAGES = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
DEFENSES = {
    "none": None,
    "random_resize_pad": {"least": 0.5},
    "randomized_smoothing": {"training": "off", "samples": 3},
    "mc_dropout": {"rate": 0.5, "samples": 3},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a small network with a defence around it, once for each."""
    root, paths = tmp_path_factory.mktemp("exported"), {}
    model = root / "small.keras"
    small_model().save(model)

    def by(name, form="saved_model"):
        if (name, form) not in paths:
            options = DEFENSES[name]
            defenses = [] if options is None else [create("defenses", name, **options)]
            settings = ExportSettings(
                classifier=str(model),
                defenses=defenses,
                draws="fresh" if options is None else "content",
                format=form,
                scenario=InMemory(),
                scenario_name="in_memory",
                inputs=("image_bytes", "uint8") if form == "saved_model" else (),
                classify=form == "saved_model",
            )
            paths[name, form] = export(settings, root / f"{name}-{form}").path
        return paths[name, form]

    return by


def answers(path):
    """Return what TensorFlow says to the images."""
    return tf.saved_model.load(str(path)).signatures["serving_default"](images=tf.constant(IMAGES))


@pytest.mark.parametrize("name", DEFENSES)
def test_openvino_reads_the_saved_model(name, exported):
    openvino = pytest.importorskip("openvino", reason="make readers")
    path = exported(name)
    compiled = openvino.Core().compile_model(
        openvino.convert_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    expected = answers(path)
    served = {next(iter(output.get_names())): value for output, value in compiled(IMAGES).items()}
    assert served["logits"] == pytest.approx(expected["logits"].numpy(), abs=1e-4)


def test_litert_reads_the_file(exported):
    interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="make readers")
    interpreter = interpreters.Interpreter(str(exported("none", "tflite")))
    inside, outside = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(inside["index"], IMAGES.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(inside["index"], IMAGES)
    interpreter.invoke()
    expected = np.asarray(KerasClassifier(small_model())(IMAGES))
    assert interpreter.get_tensor(outside["index"]) == pytest.approx(expected, abs=1e-5)


def test_saved_model_cli_shows_every_signature(exported):
    module = "tensorflow.python.tools.saved_model_cli"
    command = [sys.executable, "-m", module, "show", "--dir", str(exported("none")), "--all"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for name in ("serving_default", "serve_bytes", "serve_uint8", "classify"):
        assert f"signature_def['{name}']" in printed
    assert "Method name is: tensorflow/serving/classify" in printed


@pytest.fixture(scope="module")
def kserve(exported):
    """Let KServe serve on loopback; yield what it serves, and where."""
    path = exported("random_resize_pad")
    with serving(path.parent) as port:
        yield path, f"http://127.0.0.1:{port}/v1/models/{path.parent.name}"


def test_kserve_answers_rows_and_columns_as_tensorflow_does(kserve):
    path, url = kserve
    expected = answers(path)["logits"].numpy()
    rows = ask(url, {"instances": IMAGES.tolist()})["predictions"]
    assert [row["logits"] for row in rows] == pytest.approx(expected, abs=1e-5)
    columns = ask(url, {"inputs": {"images": IMAGES.tolist()}})["outputs"]
    assert columns["logits"] == pytest.approx(expected, abs=1e-5)


def test_kserve_takes_files_and_seeds(kserve):
    path, url = kserve
    signatures = tf.saved_model.load(str(path)).signatures
    file = tf.io.encode_png(np.round(IMAGES[0] * 255).astype(np.uint8)).numpy()
    body = {"signature_name": "serve_bytes"}
    body["instances"] = [{"b64": base64.b64encode(file).decode()}]
    expected = signatures["serve_bytes"](image_bytes=tf.constant([file]))["logits"].numpy()
    answer = ask(url, body)["predictions"]
    assert answer[0]["logits"] == pytest.approx(expected[0], abs=1e-5)
    seeds = [{"images": image, "seed": 7} for image in IMAGES.tolist()]
    answer = ask(url, {"signature_name": "seeded", "instances": seeds})["predictions"]
    expected = signatures["seeded"](images=tf.constant(IMAGES), seed=tf.fill([5], 7))["logits"]
    assert [row["logits"] for row in answer] == pytest.approx(expected.numpy(), abs=1e-5)


def test_kserve_says_what_is_wrong_with_a_request(kserve):
    _, url = kserve
    for body in ({"instances": [[1.0]]}, {"signature_name": "none", "instances": [1]}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, body)
        with refused.value as answer:
            assert answer.code == 400
