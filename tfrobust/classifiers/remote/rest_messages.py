"""What the REST protocol's messages say: JSON from outside, of which nothing is believed."""

from __future__ import annotations

import base64
import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrobust.classifiers.remote.protocol import TensorInfo, TransientError, hidden
from tfrobust.errors import EndpointError, one_line

_PASSING, _NOT_FOUND = {408, 429, 500, 502, 503, 504}, 404
_DEEPEST = 16  # dimensions of a shape that a server may describe


def at(record: Any, *keys: str) -> Any:
    """Return what lies under keys inside one another; `None`: nothing."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def tensors_of(record: Any) -> dict[str, TensorInfo]:
    """Return the tensors of a signature as its metadata describes them."""
    if not isinstance(record, dict):
        return {}
    found = {}
    for name, tensor in record.items():
        shape = None
        if at(tensor, "tensor_shape", "unknown_rank") is not True:
            dims = at(tensor, "tensor_shape", "dim")
            dims = dims if isinstance(dims, list) else []
            sizes = [number(at(dim, "size")) for dim in dims[:_DEEPEST]]
            shape = tuple(-1 if size is None else size for size in sizes)
        found[one_line(str(name), 200)] = TensorInfo(str(at(tensor, "dtype")), shape)
    return found


def number(text: Any) -> int | None:
    """Return a whole number that JSON holds as text, as protocol buffers write it."""
    try:
        return int(text)
    except (TypeError, ValueError, OverflowError):  # 1e999 is infinity
        return None


def rows_of(images: np.ndarray) -> list[Any]:
    """Return images as JSON has them: nested lists of numbers, or files in base64.

    Args:
        images: `(n, height, width, channels)`, or bytes, object `(n,)`.
    """
    if images.dtype != object:
        rows: list[Any] = images.tolist()
        return rows
    return [{"b64": base64.b64encode(file).decode()} for file in images]


def outputs_of(predictions: Any) -> dict[str, np.ndarray]:
    """Return rows as one array an output.

    Raises:
        EndpointError: they are no rows, or differ in form.
    """
    if not isinstance(predictions, list) or not predictions:
        raise EndpointError("the answer holds no predictions; check that it is a model server")
    try:
        if isinstance(predictions[0], dict):
            names = list(predictions[0])
            return {name: np.array([row[name] for row in predictions]) for name in names}
        return {"": np.array(predictions)}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EndpointError(
            f"the predictions of a request differ in form ({one_line(error, 80)})"
        ) from error


def classes_of(results: Any) -> dict[str, np.ndarray]:
    """Return the pairs of the Classify API as two arrays, `classes` and `scores`.

    Raises:
        EndpointError: they are no pairs, or rows of different lengths.
    """
    try:
        classes = np.array([[str(label) for label, _ in row] for row in results])
        scores = np.array([[float(score) for _, score in row] for row in results])
    except (TypeError, ValueError, OverflowError) as error:
        raise EndpointError(
            f"the answer holds no classes with scores ({one_line(error, 80)}); check that it is a "
            "model server"
        ) from error
    return {"classes": classes, "scores": scores}


class NotFoundError(EndpointError):
    """The server knows no such path."""


def record_of(
    url: str, status: int, headers: Mapping[str, str], content: bytes, secrets: Mapping[str, str]
) -> dict[str, Any]:
    """Return the JSON of an answer.

    Args:
        url: that was asked.
        status: of the answer.
        headers: of the answer.
        content: of the answer.
        secrets: headers of the request, which are not repeated.

    Raises:
        NotFoundError: the server knows no such path.
        TransientError: the same request may be answered later.
        EndpointError: it is no answer, and never will be.
    """
    if 300 <= status < 400:
        place = one_line(hidden(headers.get("location", "nowhere"), secrets), 200)
        raise EndpointError(
            f"{url}: is redirected to {place}, and images are not sent to places that were not "
            "typed; give that address if it is yours"
        )
    said = said_by(content, secrets)
    if status in _PASSING:
        wait = retry_after(headers.get("retry-after"))
        raise TransientError(f"{url}: answers {status}{said}", wait=wait)
    if status == _NOT_FOUND:
        raise NotFoundError(f"answers 404{said}")
    if status in (401, 403):
        raise EndpointError(
            f"{url}: answers {status}{said}; give the authentication header's value by --auth "
            "env:VARIABLE or file:PATH"
        )
    if status != 200:
        raise EndpointError(f"{url}: answers {status}{said}")
    if content.lstrip()[:1] == b"<":
        raise EndpointError(
            f"{url}: answers a web page instead of JSON; check that this is a model server"
        )
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"{url}: the answer is no JSON ({one_line(error, 80)})") from error
    if not isinstance(record, dict):
        raise EndpointError(f"{url}: the answer is no record; check that it is a model server")
    return record


def said_by(content: bytes, secrets: Mapping[str, str]) -> str:
    """Return what a server says of an error, in brackets, without the headers it was sent."""
    try:
        record = json.loads(content[:10_000])
        text = record.get("error", "") if isinstance(record, dict) else ""
    except (ValueError, RecursionError):
        text = ""
    return f" ({one_line(hidden(str(text), secrets), 200)})" if text else ""


def retry_after(text: str | None) -> float | None:
    """Return the seconds that a header asks to wait: a number, or a date."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
