"""A model server on loopback for tests: TensorFlow Serving's protocols over a SavedModel.

It is no TensorFlow Serving. The gRPC side uses the genuine messages and stubs, the REST side spells
what TensorFlow Serving documents. Both count the images that reach them, before anything else can
go wrong, and can be told to fail in the ways that networks do (`faults`).
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

NAME = "digits"


class Served:
    """What both protocols answer from: a session with threads of its own.

    A client in the same process waits inside of TensorFlow, on one of the threads that all traced
    functions share.

    Attributes:
        images: that have reached the server.
        requests: of predictions.
        version: that it says it serves.
        faults: number of a prediction request → what goes wrong with it; see `RestHandler`.
        headers: of the last prediction request.
        sizes: images in each prediction request.
        other: whether another model answers.
        wait: seconds before an answer whose fault is `wait`.
        says: the words of a failure.
    """

    def __init__(self, folder: Path, faults: Callable[[int], str] = lambda request: "") -> None:
        tf1 = tf.compat.v1
        threads = tf1.ConfigProto(
            use_per_session_threads=True,
            inter_op_parallelism_threads=2,
            intra_op_parallelism_threads=1,
        )
        self._session = tf1.Session(graph=tf.Graph(), config=threads)
        with self._session.graph.as_default():
            loaded = tf1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = {
            name: signature
            for name, signature in loaded.signature_def.items()
            if not name.startswith("__")
        }
        self.faults, self.version, self.other = faults, 1, False
        self.images = self.requests = 0
        self.wait = 0.0
        self.says = "try later"
        self.headers: dict[str, str] = {}
        self.sizes: list[int] = []
        self._lock = threading.Lock()

    def begin(self, count: int, headers: dict[str, str]) -> str:
        """Count a request, and return its fault."""
        with self._lock:
            self.requests += 1
            self.images += count
            self.sizes.append(count)
            self.headers = headers
            return self.faults(self.requests)

    def predict(self, name: str, images: np.ndarray) -> dict[str, np.ndarray]:
        signature = self.signatures[name]
        ((_, tensor),) = signature.inputs.items()
        outputs = {name: output.name for name, output in signature.outputs.items()}
        found = self._session.run(outputs, {tensor.name: images})
        if self.other:
            found = {name: output[:, ::-1] for name, output in found.items()}
        return found


def _described(signature: Any) -> dict[str, Any]:
    """Return a signature as TensorFlow Serving writes it: its message, as JSON."""
    return json_format.MessageToDict(signature, preserving_proto_field_name=True)


def _instances(rows: list[Any]) -> np.ndarray:
    """Return what a request holds: numbers, or bytes in base64."""
    if not isinstance(rows[0], dict):
        return np.array(rows)
    return np.array([base64.b64decode(row["b64"], validate=True) for row in rows], object)


def _examples(rows: list[dict[str, Any]]) -> np.ndarray:
    """Return the serialized examples of a request, bytes or floats of one feature each."""
    examples = []
    for row in rows:
        ((name, value),) = row.items()
        example = tf.train.Example()
        feature = example.features.feature[name]
        if isinstance(value, dict):
            feature.bytes_list.value.append(base64.b64decode(value["b64"], validate=True))
        else:
            feature.float_list.value.extend(value)
        examples.append(example.SerializeToString())
    return np.array(examples, object)


def _pairs(outputs: dict[str, np.ndarray]) -> list[Any]:
    """Return the answer of the Classify API, an image a row."""
    rows = zip(outputs["classes"], outputs["scores"], strict=True)
    return [
        [[name.decode(), float(score)] for name, score in zip(*row, strict=True)] for row in rows
    ]


class RestHandler(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST API, as far as a client of predictions needs it.

    Faults: `drop`, `500`, `429`, `503`, `truncated`, `slow`, `shape`, `nan`, `html`, `text`.
    """

    protocol_version = "HTTP/1.1"
    served: Served

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        base = f"/v1/models/{NAME}"
        path = self.path.replace(f"/versions/{self.served.version}", "")
        if path == f"{base}/metadata":
            signatures = {
                name: _described(signature) for name, signature in self.served.signatures.items()
            }
            self._json(
                200,
                {
                    "model_spec": {"name": NAME, "version": str(self.served.version)},
                    "metadata": {"signature_def": {"signature_def": signatures}},
                },
            )
        elif path == "/v1/models":
            self._json(200, {"models": [NAME]})
        else:
            self._json(404, {"error": f"Could not find {path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body.get("signature_name", "serving_default")
        classifies = self.path.endswith(":classify")
        images = _examples(body["examples"]) if classifies else _instances(body["instances"])
        fault = self.served.begin(len(images), dict(self.headers))
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault in ("500", "429", "503"):
            wait = {"Retry-After": "0"} if fault == "429" else {}
            self._json(int(fault), {"error": self.served.says}, wait)
            return
        if fault == "redirect":
            self._send(307, b"", {"Location": "http://elsewhere.example/"})
            return
        outputs = self.served.predict(name, images)
        if classifies:
            self._json(200, {"results": _pairs(outputs)})
        else:
            self._answer(fault, outputs)

    def _answer(self, fault: str, outputs: dict[str, np.ndarray]) -> None:
        if fault == "slow":
            time.sleep(1.0)
        if fault == "wait":
            time.sleep(self.served.wait)
        if fault == "shape":
            outputs = {name: output[:, :-1] for name, output in outputs.items()}
        if fault == "nan":
            outputs = {name: output * np.nan for name, output in outputs.items()}
        count = len(next(iter(outputs.values())))
        rows: list[Any] = [
            {name: output[k].tolist() for name, output in outputs.items()} for k in range(count)
        ]
        if len(outputs) == 1:
            rows = [next(iter(row.values())) for row in rows]
        text = json.dumps({"predictions": rows}).encode()
        if fault == "truncated":
            text = text[: len(text) // 2]
        if fault == "html":
            text = b"<html><body>hello</body></html>"
        self._send(200, text, {})

    def _json(self, status: int, record: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(record).encode(), headers or {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):  # the client may be gone
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


@contextlib.contextmanager
def rest_server(served: Served, context: Any = None) -> Iterator[str]:
    """Serve by REST on loopback; yield the model's address.

    Args:
        served: what answers.
        context: of TLS.
    """
    handler = type("Handler", (RestHandler,), {"served": served})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}/v1/models/{NAME}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def grpc_server(served: Served) -> Iterator[str]:
    """Serve by gRPC on loopback, with the genuine messages; yield the model's address.

    Faults: the name of a status code, such as `UNAVAILABLE`.
    """
    import concurrent.futures

    import grpc
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            self._check(request, context)
            known = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in served.signatures.items():
                known.signature_def[name].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = NAME
            response.model_spec.version.value = served.version
            response.metadata["signature_def"].Pack(known)
            return response

        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            ((_, tensor),) = request.inputs.items()
            images = tf.make_ndarray(tensor)
            headers = {item.key: item.value for item in context.invocation_metadata()}
            fault = served.begin(len(images), headers)
            self._check(request, context)
            if fault == "wait":
                time.sleep(served.wait)
            elif fault:
                context.abort(getattr(grpc.StatusCode, fault), served.says)
            outputs = served.predict(request.model_spec.signature_name, images)
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = served.version
            for name, output in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(output))
            return response

        def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
            examples = request.input.example_list.examples
            served.begin(len(examples), {})
            self._check(request, context)
            serialized = np.array([one.SerializeToString() for one in examples], object)
            rows = _pairs(served.predict(request.model_spec.signature_name, serialized))
            response = classification_pb2.ClassificationResponse()
            response.model_spec.version.value = served.version
            for row in rows:
                classes = response.result.classifications.add()
                for label, score in row:
                    classes.classes.add(label=label, score=score)
            return response

        def _check(self, request: Any, context: Any) -> None:
            if request.model_spec.name != NAME:
                context.abort(grpc.StatusCode.NOT_FOUND, f"{request.model_spec.name} not found")

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/{NAME}"
    finally:
        server.stop(None).wait()


def main(folder: str, wait: str) -> None:
    """Serve by both protocols until the process is ended; print the addresses as JSON."""
    served = Served(Path(folder), lambda request: "wait" if served.wait else "")
    served.wait = float(wait)
    with rest_server(served) as rest, grpc_server(served) as grpc:
        print(json.dumps({"rest": rest, "grpc": grpc}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
