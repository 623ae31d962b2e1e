"""TensorFlow Serving's gRPC protocol: PredictionService, with the genuine messages."""

from __future__ import annotations

import re
from typing import Any

from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.grpc_messages import (
    Tensors,
    add_feature,
    classes_of,
    fill,
    pushback,
    tensors_of,
    version_of,
)
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import (
    CLASSIFY,
    MOST_BYTES,
    Description,
    OtherModelError,
    Outputs,
    TransientError,
    hidden,
    named_signature,
    needs,
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
        signature = named_signature(signature, known.signature_def)
        found = known.signature_def[signature]
        self._version = version_of(response.model_spec)
        return Description(
            inputs=tensors_of(found.inputs),
            outputs=tensors_of(found.outputs),
            version=self._version,
            beside=tuple(
                tensors_of(other.inputs)
                for key, other in known.signature_def.items()
                if key != signature
            ),
            signature=signature,
            classifies=found.method_name == CLASSIFY,
        )

    def predict(self, signature: str, name: str, images: Images) -> Outputs:
        """Return all outputs of a signature; see `Wire`.

        Raises:
            OtherModelError: another version answers than the one that described itself.
        """
        request = self._messages.predict.PredictRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = signature
        fill(request.inputs[name], images)
        response = self._call(self._stub.Predict, request, paid=True)
        self._check_version(response)
        return Tensors(response.outputs)

    def classify(self, signature: str, feature: str, images: Images) -> Outputs:
        """Return classes and scores; see `Wire`.

        Raises:
            OtherModelError: another version answers than the one that described itself.
        """
        request = self._messages.classification.ClassificationRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = signature
        for image in images:
            add_feature(request.input.example_list.examples.add(), feature, image)
        response = self._call(self._stub.Classify, request, paid=True)
        self._check_version(response)
        return classes_of(response.result)

    def _check_version(self, response: Any) -> None:
        version = version_of(response.model_spec)
        if None not in (version, self._version) and version != self._version:
            raise OtherModelError(
                self._address.url, f"version {version} answers instead of {self._version}"
            )

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
            return TransientError(f"{url}: answers {code} ({details})", wait=pushback(error))
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
            classification_pb2,
            get_model_metadata_pb2,
            predict_pb2,
            prediction_service_pb2_grpc,
        )

        self.metadata, self.predict = get_model_metadata_pb2, predict_pb2
        self.classification, self.stub = classification_pb2, prediction_service_pb2_grpc


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


def _any(parts: tuple[str, ...], words: str) -> bool:
    return any(part in words for part in parts)
