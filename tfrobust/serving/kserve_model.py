"""A SavedModel for KServe's Python model server, which runs this file; it imports no tfrobust.

    python -I kserve_model.py --model_name digits --model_dir saved_models/digits/1

KServe's server speaks the protocol V1, which is that of TensorFlow Serving's REST API for one
version: `POST /v1/models/NAME:predict`. Here is only what a model does with a decoded request: rows
(`instances`) or columns (`inputs`), `signature_name`, and bytes as `{"b64": …}`.
"""

from __future__ import annotations

import argparse
import base64
import binascii
from typing import Any

import kserve
import numpy as np
import tensorflow as tf
import uvicorn
from kserve import model_server
from kserve.errors import InvalidInput

Payload = dict[str, Any]


class SavedModel(kserve.Model):
    """A version folder that answers requests.

    Args:
        name: by which it is served.
        folder: of the SavedModel.
    """

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        """Load the SavedModel; see KServe's `Model`."""
        self._loaded = tf.saved_model.load(self._folder)
        self.ready = True
        return self.ready

    def predict(self, payload: Payload, headers: Any = None) -> Payload:
        """Answer one request; see KServe's `Model`.

        Raises:
            InvalidInput: there is no such signature, or it takes something else.
        """
        name = payload.get("signature_name", "serving_default")
        signatures = self._loaded.signatures
        if name not in signatures:
            raise InvalidInput(f"signature_name: expected one of {', '.join(sorted(signatures))}")
        signature = signatures[name]
        specs = signature.structured_input_signature[1]
        try:
            columns = {
                key: tf.constant(column, specs[key].dtype)
                for key, column in _columns(payload, list(specs)).items()
            }
            outputs = signature(**columns)
        except (TypeError, ValueError, KeyError, binascii.Error, tf.errors.OpError) as error:
            raise InvalidInput(f"expected {', '.join(specs)}; {error}") from error
        answers = {key: _plain(output.numpy()) for key, output in outputs.items()}
        only = next(iter(answers.values())) if len(answers) == 1 else None
        if "inputs" in payload:
            return {"outputs": answers if only is None else only}
        rows = zip(*answers.values(), strict=True)
        return {"predictions": only or [dict(zip(answers, row, strict=True)) for row in rows]}


def _columns(payload: Payload, names: list[str]) -> Payload:
    """Return the inputs of a request by name, whether it gives rows or columns."""
    if "inputs" in payload:
        given = payload["inputs"]
        columns = given if isinstance(given, dict) and "b64" not in given else {names[0]: given}
    else:
        rows = payload["instances"]
        named = [_is_named(row) for row in rows]
        columns = {n: [row[n] for row in rows] for n in names} if all(named) else {names[0]: rows}
    return {name: _decoded(column) for name, column in columns.items()}


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and "b64" not in row


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [_decoded(one) for one in value] if isinstance(value, list) else value


def _plain(output: np.ndarray) -> Any:
    if output.dtype == object:
        return [[text.decode() for text in row] for row in output]
    return output.tolist()


def _listening_on(host: str) -> type[uvicorn.Config]:
    """Return a configuration of the server that listens on one address: KServe's is on all."""

    class Config(uvicorn.Config):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **(options | {"host": host}))

    return Config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    uvicorn.Config = _listening_on(arguments.host)
    served = SavedModel(arguments.model_name, arguments.model_dir)
    served.load()
    server = kserve.ModelServer(
        http_port=arguments.http_port, enable_grpc=False, workers=1, max_asyncio_workers=1
    )
    server.start([served])
