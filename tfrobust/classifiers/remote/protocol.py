"""What both protocols have in common: a model's description, and what can go wrong on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np

from tfrobust.errors import EndpointError, UsageError, one_line
from tfrobust.types import Images

MOST_BYTES = 64 * 2**20  # of an answer
LONGEST_WAIT = 300.0  # seconds that a server may ask for before the next try
CLASSIFY = "tensorflow/serving/classify"  # the method of a signature
_DEFAULT = "serving_default"
_INSTALL = "pip install 'tfrobust[remote]'"

Outputs = Mapping[str, np.ndarray]  # of an endpoint, by name, one row an image


class TransientError(EndpointError):
    """A request failed for a reason that may pass: it is sent again.

    Args:
        message: one line.
        left: whether the request may have reached the server; it then counts.
        wait: seconds that the server asks to wait; `None`: it says nothing.
    """

    def __init__(self, message: str, *, left: bool = True, wait: float | None = None) -> None:
        super().__init__(message)
        self.left, self.wait = left, wait


class OtherModelError(EndpointError):
    """Another model answers than at the start of the run."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"{url}: {why}; figures of both would be mixed, so the run ends here. Repeat the "
            "command for the new version, or name one: …/versions/N"
        )


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What a model says of an input or output.

    Attributes:
        dtype: TensorFlow's name, such as `DT_FLOAT`.
        shape: −1 where a size is open; `None`: nothing is known.
    """

    dtype: str
    shape: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model says of itself.

    Attributes:
        inputs: of the signature, by name; empty where the server describes nothing.
        outputs: of the signature.
        version: that answers; `None`: not known.
        beside: the inputs of each other signature.
        signature: whose inputs and outputs these are; empty: not known.
        classifies: whether it is called by the Classify API.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    version: int | None
    beside: tuple[Mapping[str, TensorInfo], ...] = ()
    signature: str = ""
    classifies: bool = False


class Wire(Protocol):
    """A connection to one model. Its calls may come from several threads."""

    def describe(self, signature: str) -> Description:
        """Return what the model says of a signature.

        Raises:
            TransientError: it may say so later.
            EndpointError: there is no such server, model or signature.
        """

    def predict(self, signature: str, name: str, images: Images) -> Outputs:
        """Return all outputs of a signature, by name; the empty name: of the only one.

        Args:
            signature: its name.
            name: of its input.
            images: `(n, height, width, channels)`, in the input's type; picture files: bytes,
                object `(n,)`.

        Raises:
            TransientError: the same request may be answered later.
            EndpointError: it never will be.
        """

    def classify(self, signature: str, feature: str, images: Images) -> Outputs:
        """Return `classes` and `scores` of the Classify API, `(n, classes)` each.

        Args:
            signature: its name.
            feature: of the `tf.Example` that holds an image.
            images: as `predict` takes them; numbers go pixel by pixel.

        Raises:
            TransientError, EndpointError: see `predict`.
        """

    def close(self) -> None:
        """Close the connection."""


def hidden(text: str, headers: Mapping[str, str]) -> str:
    """Return a server's words without the values of the headers that it was sent.

    Example:
        >>> hidden("no such token: abc", {"Authorization": "Bearer abc"})
        'no such token: …'
    """
    for secret in headers.values():
        for part in (secret, secret.partition(" ")[2].strip()):
            text = text.replace(part, "…") if part else text
    return text


def needs(module: Callable[[], Any]) -> Any:
    """Return a module of the extra `remote`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return module()
    except ImportError as error:
        raise UsageError(
            f"an endpoint is asked through packages that are not installed ({one_line(error)}); "
            f"install them: {_INSTALL}"
        ) from error


def named_signature(signature: str, known: Collection[str]) -> str:
    """Return the signature that is meant: the one that was named, or the only one there is.

    Raises:
        EndpointError: there is no such signature.
    """
    served = sorted(name for name in known if not name.startswith("__"))
    if signature in known:
        return signature
    if signature == _DEFAULT and len(served) == 1:
        return served[0]
    raise no_signature(signature, served)


def no_signature(signature: str, known: list[str]) -> EndpointError:
    """Return the error of a signature that a model does not serve."""
    return EndpointError(
        f"the model serves no signature {signature!r} (there are: {', '.join(known) or 'none'}); "
        "choose one by --signature"
    )
