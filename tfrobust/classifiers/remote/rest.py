"""TensorFlow Serving's REST protocol, by httpx.

    GET  …/v1/models/NAME[/versions/N]/metadata    signatures, with shapes and types
    GET  …/v1/models/NAME[/versions/N]             the version that answers
    POST …/v1/models/NAME[/versions/N]:predict     {"instances": […]} → {"predictions": […]}
    POST …/v1/models/NAME[/versions/N]:classify    {"examples": […]} → {"results": […]}

Images go as rows ("instances"), which other servers of this protocol understand too. Numbers are
written so that float32 comes back bit for bit; a picture file is `{"b64": …}`. Redirects are not
followed: images would go to a place that nobody typed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import (
    CLASSIFY,
    MOST_BYTES,
    Description,
    Outputs,
    TransientError,
    named_signature,
    needs,
)
from tfrobust.classifiers.remote.rest_messages import (
    NotFoundError,
    at,
    classes_of,
    number,
    outputs_of,
    record_of,
    rows_of,
    tensors_of,
)
from tfrobust.errors import EndpointError, one_line
from tfrobust.types import Images


class RestWire:
    """A connection by REST; see `Wire`.

    Args:
        address: of the model.
        options: how it is asked.

    Raises:
        UsageError: httpx is not installed, or a secret or certificates cannot be read.
    """

    def __init__(self, address: Address, options: RemoteOptions) -> None:
        self._httpx = needs(_httpx)
        self._address, self._timeout = address, options.timeout
        self._secrets = options.headers()
        self._client = self._httpx.Client(
            headers={**self._secrets, "Content-Type": "application/json"},
            timeout=options.timeout,
            verify=_trusted(options),
            follow_redirects=False,
            trust_env=not address.loopback,  # a proxy of the environment leads elsewhere
            limits=self._httpx.Limits(
                max_connections=options.concurrency,
                max_keepalive_connections=options.concurrency,
            ),
        )

    def describe(self, signature: str) -> Description:
        """Return what the model says of a signature; see `Wire`."""
        try:
            record = self._get(f"{self._address.url}/metadata")
        except NotFoundError:
            return self._undescribed()
        signatures = at(record, "metadata", "signature_def", "signature_def")
        if not isinstance(signatures, dict):
            raise EndpointError(f"{self._address.url}: its metadata describes no signatures")
        signature = named_signature(signature, signatures)
        found = signatures[signature]
        version = at(record, "model_spec", "version")
        return Description(
            inputs=tensors_of(at(found, "inputs")),
            outputs=tensors_of(at(found, "outputs")),
            version=number(version),
            beside=tuple(
                tensors_of(at(other, "inputs"))
                for key, other in signatures.items()
                if key != signature
            ),
            signature=signature,
            classifies=at(found, "method_name") == CLASSIFY,
        )

    def predict(self, signature: str, name: str, images: Images) -> Outputs:
        """Return all outputs of a signature; see `Wire`."""
        body: dict[str, Any] = {"instances": rows_of(images)}
        if signature != "serving_default":
            body["signature_name"] = signature
        record = self._ask("POST", f"{self._address.url}:predict", json.dumps(body).encode())
        return outputs_of(at(record, "predictions"))

    def classify(self, signature: str, feature: str, images: Images) -> Outputs:
        """Return classes and scores; see `Wire`."""
        if images.dtype != object:
            images = images.reshape(len(images), -1)
        examples = [{feature: row} for row in rows_of(images)]
        body = {"signature_name": signature, "examples": examples}
        record = self._ask("POST", f"{self._address.url}:classify", json.dumps(body).encode())
        # TensorFlow Serving answers `results`; its documentation says `result`.
        return classes_of(record.get("results", record.get("result")))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _undescribed(self) -> Description:
        """Return an empty description of a model that is there, on a server without metadata."""
        address = self._address
        try:
            record = self._get(address.url)
        except NotFoundError as error:
            others = self._others()
            known = f"; it serves: {', '.join(others)}" if others else ""
            raise EndpointError(
                f"{address.url}: there is no model {address.model!r} ({error}){known}; check name "
                "and version"
            ) from error
        if record.get("ready") is False:
            raise TransientError(f"{address.url}: the model is not ready", left=False)
        return Description({}, {}, None)

    def _others(self) -> list[str]:
        """Return the models that the server lists, where it lists any."""
        address = self._address
        try:
            record = self._get(f"{address.scheme}://{address.place}{address.before}/v1/models")
        except EndpointError:
            return []
        names = record.get("models")
        return [one_line(str(name), 80) for name in names[:20]] if isinstance(names, list) else []

    def _get(self, url: str) -> dict[str, Any]:
        return self._ask("GET", url)

    def _ask(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        """Send one request, and return the record that comes back.

        Raises:
            TransientError, EndpointError: see `Wire.predict`.
        """
        httpx = self._httpx
        try:
            status, headers, content = self._exchange(method, url, body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if "CERTIFICATE" in str(error).upper():
                raise EndpointError(
                    f"{url}: the server's certificate does not verify ({one_line(error, 120)}); "
                    "give the authority that signed it by --ca-file"
                ) from error
            raise TransientError(
                f"{url}: no server answers ({one_line(error, 120)}); start it, or check host and "
                "port",
                left=False,
            ) from error
        except httpx.TimeoutException as error:
            raise TransientError(
                f"{url}: no answer within {self._timeout:g} s; raise --timeout, or send fewer "
                "images at once by --remote-batch"
            ) from error
        except httpx.HTTPError as error:
            raise TransientError(f"{url}: the connection broke ({one_line(error, 120)})") from error
        return record_of(url, status, headers, content, self._secrets)

    def _exchange(
        self, method: str, url: str, body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request, and read an answer of bounded size in bounded time."""
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        with self._client.stream(method, url, content=body) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise EndpointError(f"{url}: the answer has more than {MOST_BYTES} bytes")
                if time.monotonic() > deadline:  # a trickle keeps each single read alive
                    raise self._httpx.ReadTimeout("the answer takes too long")
            return response.status_code, response.headers, bytes(content)


def _httpx() -> Any:
    import httpx

    return httpx


def _trusted(options: RemoteOptions) -> Any:
    """Return what certificates are verified by."""
    import ssl

    if options.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(options.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise EndpointError(
            f"ca_file: {options.ca_file}: no certificates in PEM form ({one_line(error, 80)})"
        ) from error
