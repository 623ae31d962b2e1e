"""What tells the weights of one network from another's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.classifier import Classifier


def weights_digest(classifier: Classifier) -> str | None:
    """Return the SHA-256 of a network's weights, of all that defences put round it too.

    Returns:
        64 hexadecimal digits; `None` for one that shows no weights, such as a remote one.

    Example:
        >>> weights_digest(load("d1")) == weights_digest(load("d2"))
        False
    """
    content, known = hashlib.sha256(), False
    for each in _weights(classifier):
        content.update(each)
        known = True
    return content.hexdigest() if known else None


def _weights(classifier: Classifier | None) -> Iterator[bytes]:
    while classifier is not None:
        model: Any = getattr(classifier, "model", None)
        if hasattr(model, "get_weights"):
            yield from (np.ascontiguousarray(each).tobytes() for each in model.get_weights())
        elif not hasattr(classifier, "inner") and classifier.source:
            files = sorted((Path(classifier.source) / "variables").glob("*"))
            yield from (file.read_bytes() for file in files)
        classifier = getattr(classifier, "inner", None)
