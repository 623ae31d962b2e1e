"""What the REST protocol's messages say: JSON from outside, of which nothing is believed."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrobust.classifiers.remote.protocol import TensorInfo, hidden
from tfrobust.errors import EndpointError, one_line

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
