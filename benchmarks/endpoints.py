"""Endpoints as classifiers: beside a bare loop of requests, several at once, and kept answers.

The server is that of the tests, in a process of its own: a SavedModel behind the REST protocol in
plain Python and behind gRPC with the genuine messages. It is no TensorFlow Serving. The bare loop
sends the same batches by httpx, or by the generated stub, and reads the same output. For several
requests at once the server waits before each answer, as one does that has others to serve: it then
scales, which a single Python process otherwise does not.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import KerasClassifier, create, export, load
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.options import RemoteOptions

_SERVER = Path(__file__).parents[1] / "tests" / "helpers" / "model_server.py"
_BATCH, _WAIT = 32, 0.05  # images a request; seconds before an answer
_LOOPS = 8  # over all images, in a turn
_OVERHEAD, _SCALES, _KEPT = 1.1, 0.33, 50.0  # bars; the last one in µs an image
_SHAPE = (28, 28, 1)


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time an untrained LeNet behind both protocols, on random images of MNIST's size."""
    if not plan.wants("endpoints"):
        return
    count = min(plan.images, 512)
    model = KerasClassifier(create("models", "lenet").build(_SHAPE, 10))
    with tempfile.TemporaryDirectory() as scratch:
        folder = export(model, Path(scratch) / "lenet" / "1")
        with _served(folder) as addresses:
            for kind, bare in (("REST", _rest), ("gRPC", _grpc)):
                url = addresses[kind.lower()]
                turns = [_beside(url, bare, count) for _ in range(plan.turns)]
                what = f"{kind}, batches of {_BATCH} ÷ a bare loop over the same requests"
                yield row(what, spread(turns), _OVERHEAD)
        with _served(folder, _WAIT) as addresses:
            turns = [_at_once(addresses["grpc"], 8 * _BATCH) for _ in range(plan.turns)]
            what = "gRPC, 8 requests at once ÷ one after the other, the time of each image"
            yield row(f"{what} (the server waits {_WAIT * 1e3:g} ms)", spread(turns), _SCALES)
        with _served(folder) as addresses:
            cache = Path(scratch) / "run" / "queries.sqlite"
            turns = [_kept(addresses["grpc"], cache, count) for _ in range(plan.turns)]
            yield _rate("kept answers, 28×28", turns)


def _rate(what: str, turns: list[float]) -> dict[str, Any]:
    """Return a row of the table: microseconds an image."""
    found = spread(turns)
    return {
        "what": what,
        "measured": f"{found.median:.1f} µs an image ({found.low:.1f} to {found.high:.1f}), "
        f"{1e6 / found.median:,.0f} images a second",
        "bar": f"≤ {_KEPT:g} µs",
        "holds": found.median <= _KEPT,
    }


@contextlib.contextmanager
def _served(folder: Path, wait: float = 0.0) -> Iterator[dict[str, str]]:
    """Serve a SavedModel by both protocols, in a process of its own."""
    command = [sys.executable, _SERVER, folder, str(wait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            yield json.loads(server.stdout.readline())  # type: ignore[union-attr]
        finally:
            server.terminate()


def _loaded(url: str, **remote: Any) -> Any:
    options = RemoteOptions(**({"batch": _BATCH, "concurrency": 1, "probe_every": 0} | remote))
    return load(url, options=LoadOptions(remote=options))


def _beside(url: str, bare: Callable[[str, np.ndarray], np.ndarray], count: int) -> float:
    """Return the adapter's time over that of a bare loop, run by turns on new images."""
    endpoint = _loaded(url)
    predict(endpoint, _images(_BATCH), _BATCH)  # traces, and opens the connections
    bare(url, _images(_BATCH))
    ours, theirs = [], []
    for _ in range(_LOOPS):
        images = _images(count)
        began = time.perf_counter()
        logits = predict(endpoint, images, _BATCH)
        between = time.perf_counter()
        expected = bare(url, images)
        ours.append(between - began)
        theirs.append(time.perf_counter() - between)
        if not np.allclose(logits, expected, atol=1e-5):
            raise AssertionError("the two loops disagree")
    return min(ours) / min(theirs)  # what else the machine does only adds to either


def _at_once(url: str, count: int) -> float:
    seconds = []
    for concurrency in (8, 1):
        endpoint = _loaded(url, concurrency=concurrency)
        predict(endpoint, _images(count), count)
        images = _images(count)
        began = time.perf_counter()
        predict(endpoint, images, count)
        seconds.append(time.perf_counter() - began)
    return seconds[0] / seconds[1]


def _kept(url: str, cache: Path, count: int) -> float:
    """Return the microseconds that a kept answer takes."""
    endpoint, images = _loaded(url, cache=cache, batch=512), _images(4 * count)
    predict(endpoint, images)
    seconds = []
    for _ in range(_LOOPS):
        began = time.perf_counter()
        predict(endpoint, images)
        seconds.append(time.perf_counter() - began)
    return 1e6 * min(seconds) / len(images)


def _images(count: int) -> np.ndarray:
    draw = np.random.default_rng(time.perf_counter_ns())
    return draw.uniform(size=(count, *_SHAPE)).astype(np.float32)


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(trust_env=False)


def _rest(url: str, images: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(images), _BATCH):
        body = {"instances": images[start : start + _BATCH].tolist()}
        answer = _client().post(f"{url}:predict", json=body).json()
        found += [prediction["logits"] for prediction in answer["predictions"]]
    return np.array(found, np.float32)


@functools.cache
def _stub(place: str) -> Any:
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(place))


def _grpc(url: str, images: np.ndarray) -> np.ndarray:
    from tensorflow_serving.apis import predict_pb2

    place, _, name = url.removeprefix("grpc://").partition("/")
    found = []
    for start in range(0, len(images), _BATCH):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = "serving_default"
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(images[start : start + _BATCH]))
        found.append(tf.make_ndarray(_stub(place).Predict(request).outputs["logits"]))
    return np.concatenate(found)
