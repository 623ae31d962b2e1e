"""The commands and files of docs/serving.md do what the page says, as far as they can run here."""

import json
import re
import subprocess
import sys
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

from helpers.kserve_server import free_port, serving
from helpers.support import REPO

PAGE = (REPO / "docs/serving.md").read_text(encoding="utf-8")
KSERVE_CAN = ("curl -s http", "serve_bytes")


def blocks(language, *words):
    """Return the blocks of a language that hold all words."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [block for block in found if all(word in block for word in words)]


def test_the_configuration_of_models_is_a_genuine_message():
    config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    (block,) = blocks("protobuf", "model_config_list")
    (model,) = text_format.Parse(block, config_pb2.ModelServerConfig()).model_config_list.config
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert list(model.model_version_policy.specific.versions) == [1, 2]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder in which the commands up to `serve` have run, with the picture to ask about."""
    here = tmp_path_factory.mktemp("page")
    (first,) = blocks("sh", "tfrobust train", "tfrobust serve")
    for line in first.splitlines():
        if not line.startswith("tfrobust serve"):
            words = [sys.executable, "-m", "tfrobust_cli", *line.split()[1:]]
            subprocess.run(words, check=True, cwd=here, capture_output=True)
    run_python("tf.io.write_file", here)
    return here


def run_python(word, folder, ports=()):
    """Run the block of Python that holds a word, and return what it prints."""
    (block,) = blocks("python", word)
    for given, port in ports:
        block = block.replace(f"localhost:{given}", f"127.0.0.1:{port}")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def probabilities(folder):
    """Return what the export says of the picture."""
    served = tf.saved_model.load(str(folder / "served/digits/1")).signatures["serve_bytes"]
    file = (folder / "digit.png").read_bytes()
    return served(image_bytes=tf.constant([file]))["probabilities"][0].numpy()


@pytest.mark.slow
def test_requests_by_rest_are_answered_by_kserve(here):
    with serving(here / "served/digits") as port:
        answers = []
        for block in blocks("sh", "curl -s"):
            if not any(word in block for word in KSERVE_CAN):
                continue
            command = block.replace("localhost:8501", f"127.0.0.1:{port}")
            done = subprocess.run(
                ["/bin/bash", "-c", command], cwd=here, capture_output=True, text=True, check=True
            )
            answers.append(json.loads(done.stdout))
        printed = run_python("urllib.request", here, [(8501, port)])
    state, prediction = answers
    assert state["ready"]
    expected = probabilities(here)
    assert prediction["predictions"][0]["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert json.loads(printed) == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def grpc_port(here):
    """Answer Predict of the genuine service by the SavedModel, on loopback."""
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    import grpc
    from tensorflow_serving.apis import predict_pb2

    signatures = tf.saved_model.load(str(here / "served/digits/1")).signatures

    class Service(apis.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 (the service's own name)
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            signature = signatures[request.model_spec.signature_name]
            answer = predict_pb2.PredictResponse(model_spec=request.model_spec)
            for name, value in signature(**{n: tf.constant(v) for n, v in inputs.items()}).items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(1))
    apis.add_PredictionServiceServicer_to_server(Service(), server)
    port = free_port()
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.mark.slow
def test_the_request_by_grpc_is_a_genuine_one(here, grpc_port):
    printed = run_python("prediction_service_pb2_grpc", here, [(8500, grpc_port)])
    numbers = np.array(printed.replace("[", " ").replace("]", " ").split(), float)
    assert numbers == pytest.approx(probabilities(here), abs=1e-6)


@pytest.mark.slow
def test_the_description_for_grpcurl_has_the_service_and_its_request_is_one(here):
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

    run_python("FileDescriptorSet", here)
    described = descriptor_pb2.FileDescriptorSet()
    described.ParseFromString((here / "serving.protoset").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    method = pool.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName(
        "Predict"
    )
    (block,) = blocks("sh", "grpcurl")
    command = block.split("| grpcurl")[0]
    body = subprocess.run(
        ["/bin/bash", "-c", command], cwd=here, capture_output=True, text=True, check=True
    ).stdout
    request = json_format.Parse(body, message_factory.GetMessageClass(method.input_type)())
    assert request.inputs["image_bytes"].string_val[0] == (here / "digit.png").read_bytes()


def test_the_manifest_is_one_of_kserve():
    yaml = pytest.importorskip("yaml")
    (block,) = blocks("yaml", "InferenceService")
    manifest = yaml.safe_load(block)
    assert manifest["spec"]["predictor"]["model"]["modelFormat"]["name"] == "tensorflow"
