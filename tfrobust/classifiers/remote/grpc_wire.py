"""TensorFlow Serving's gRPC protocol: PredictionService, with the genuine messages."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import (
    MOST_BYTES,
    Description,
    OtherModelError,
    TensorInfo,
    TransientError,
    hidden,
    needs,
    no_signature,
)
from tfrobust.errors import EndpointError, UsageError, one_line
from tfrobust.types import Images

_PASSING = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL"}
_NEVER_LEFT = ("failed to connect", "connection refused", "dns resolution failed")
_UNTRUSTED = ("certificate", "ssl", "handshake")
_METADATA = "signature_def"
_HEADER = re.compile(r"[a-z0-9_.-]+")


class GrpcWire:
    """A connection by gRPC; see `Wire`.

    Args:
        address: of the model.
        options: how it is asked.

    Raises:
        UsageError: packages are not installed, or a secret or certificates cannot be read.
    """

    def __init__(self, address: Address, options: RemoteOptions) -> None:
        self._grpc, self._messages = needs(_modules)
        self._address, self._timeout = address, options.timeout
        self._version: int | None = None  # that described itself
        self._secrets = options.headers()
        self._headers = [(_header(name), value) for name, value in self._secrets.items()]
        settings = [
            ("grpc.max_receive_message_length", MOST_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),  # a request that is sent again is counted, so by us
            ("grpc.enable_http_proxy", int(not address.loopback)),
        ]
        if address.secure:
            trusted = self._grpc.ssl_channel_credentials(_certificates(options))
            self._channel = self._grpc.secure_channel(address.place, trusted, settings)
        else:
            self._channel = self._grpc.insecure_channel(address.place, settings)
        self._stub = self._messages.stub.PredictionServiceStub(self._channel)

    def describe(self, signature: str) -> Description:
        """Return what the model says of a signature; see `Wire`."""
        request = self._messages.metadata.GetModelMetadataRequest(metadata_field=[_METADATA])
        self._name(request.model_spec)
        response = self._call(self._stub.GetModelMetadata, request, paid=False)
        known = self._messages.metadata.SignatureDefMap()
        if _METADATA not in response.metadata or not response.metadata[_METADATA].Unpack(known):
            raise EndpointError(f"{self._address.url}: its metadata describes no signatures")
        if signature not in known.signature_def:
            raise no_signature(signature, sorted(known.signature_def))
        found = known.signature_def[signature]
        self._version = _version(response.model_spec)
        return Description(
            inputs=_tensors(found.inputs),
            outputs=_tensors(found.outputs),
            version=self._version,
        )

    def predict(self, signature: str, name: str, images: Images) -> dict[str, np.ndarray]:
        """Return all outputs of a signature; see `Wire`.

        Raises:
            OtherModelError: another version answers than the one that described itself.
        """
        request = self._messages.predict.PredictRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = signature
        request.inputs[name].CopyFrom(tf.make_tensor_proto(images))
        response = self._call(self._stub.Predict, request, paid=True)
        version = _version(response.model_spec)
        if None not in (version, self._version) and version != self._version:
            raise OtherModelError(
                self._address.url, f"version {version} answers instead of {self._version}"
            )
        return {name: _array(name, tensor) for name, tensor in response.outputs.items()}

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _name(self, spec: Any) -> None:
        spec.name = self._address.model
        if self._address.version is not None:
            spec.version.value = self._address.version

    def _call(self, method: Any, request: Any, *, paid: bool) -> Any:
        """Send one request, and return the message that comes back.

        What is paid counts as sent whatever fails: only the peer's own words could tell otherwise.
        """
        try:
            return method(request, timeout=self._timeout, metadata=self._headers)
        except self._grpc.RpcError as error:
            raise self._failure(error, paid=paid) from None  # its text may repeat the secret
        except (TypeError, ValueError):  # the text of these holds the headers
            raise EndpointError(
                f"{self._address.url}: gRPC refuses the request; check --auth-header"
            ) from None

    def _failure(self, error: Any, *, paid: bool) -> EndpointError:
        """Return what a failed call means."""
        url, code = self._address.url, error.code().name
        details = one_line(hidden(error.details() or code, self._secrets), 200)
        words = details.lower()
        if code == "UNAVAILABLE" and self._address.secure and _any(_UNTRUSTED, words):
            return EndpointError(
                f"{url}: the server's certificate does not verify ({details}); give the authority "
                "that signed it by --ca-file"
            )
        if code in _PASSING:
            if _any(_NEVER_LEFT, words):
                return TransientError(
                    f"{url}: no server answers ({details}); start it, or check host and port",
                    left=paid,
                )
            return TransientError(f"{url}: answers {code} ({details})", wait=_pushback(error))
        if code == "NOT_FOUND":
            return EndpointError(
                f"{url}: there is no model {self._address.model!r} ({details}); check name and "
                "version"
            )
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return EndpointError(
                f"{url}: answers {code} ({details}); give the authentication header's value by "
                "--auth env:VARIABLE or file:PATH"
            )
        return EndpointError(f"{url}: answers {code} ({details})")


class _Messages:
    """The generated modules of tensorflow-serving-api."""

    def __init__(self) -> None:
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            predict_pb2,
            prediction_service_pb2_grpc,
        )

        self.metadata, self.predict = get_model_metadata_pb2, predict_pb2
        self.stub = prediction_service_pb2_grpc


def _modules() -> tuple[Any, _Messages]:
    import grpc

    return grpc, _Messages()


def _header(name: str) -> str:
    """Return the name of a header as gRPC sends it.

    Raises:
        UsageError: gRPC has no such headers, or expects bytes in it.
    """
    lowered = name.lower()
    if not _HEADER.fullmatch(lowered) or lowered.endswith("-bin") or lowered.startswith("grpc-"):
        raise UsageError(
            "auth_header: expected letters, digits, '_', '-' and '.' for gRPC, without 'grpc-' in "
            f"front and '-bin' at the end; received: {name!r}"
        )
    return lowered


def _certificates(options: RemoteOptions) -> bytes | None:
    if options.ca_file is None:
        return None
    try:
        return options.ca_file.read_bytes()
    except OSError as error:
        raise UsageError(f"ca_file: {options.ca_file}: {one_line(error)}") from error


def _tensors(described: Any) -> dict[str, TensorInfo]:
    """Return the tensors of a signature as its metadata describes them."""
    from tensorflow.core.framework import types_pb2

    return {
        one_line(name, 200): TensorInfo(
            types_pb2.DataType.Name(tensor.dtype),
            None
            if tensor.tensor_shape.unknown_rank
            else tuple(dim.size for dim in tensor.tensor_shape.dim),
        )
        for name, tensor in described.items()
    }


def _version(spec: Any) -> int | None:
    return int(spec.version.value) if spec.HasField("version") else None


def _array(name: str, tensor: Any) -> np.ndarray:
    """Return a tensor of an answer; its shape may promise no more than the bytes of an answer.

    Raises:
        EndpointError: it does, or is no tensor.
    """
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if min(sizes, default=0) < 0 or math.prod(sizes) * 4 > MOST_BYTES:
        raise EndpointError(f"the output {one_line(name, 80)!r} has the shape {sizes}: too large")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise EndpointError(
            f"the output {one_line(name, 80)!r} is no tensor ({one_line(error, 80)})"
        ) from error


def _any(parts: tuple[str, ...], words: str) -> bool:
    return any(part in words for part in parts)


def _pushback(error: Any) -> float | None:
    """Return the seconds that a server asks to wait, as gRPC's retries or a proxy spell it."""
    for name, value in error.trailing_metadata() or ():
        scale = {"grpc-retry-pushback-ms": 1e-3, "retry-after": 1.0}.get(name)
        if scale is not None:
            try:
                return max(0.0, float(value) * scale)
            except ValueError:
                return None
    return None
