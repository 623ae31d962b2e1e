"""Python functions inside traced ones, whose errors come out again as they were raised.

TensorFlow turns what such a function raises into an error of its own, with the text in it. The
error itself is kept here until whoever ran the graph asks for it (`raised_in_python`).
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import RobustError

_MOST = 64  # errors kept; nobody asks for one that a third-party attack swallows
_KEPT: collections.OrderedDict[int, RobustError] = collections.OrderedDict()
_NUMBERS = itertools.count()
_MARK = re.compile(r"tfrobust error number (\d+):")


def call_python(function: Callable[..., Any], inputs: Sequence[Any], dtype: tf.DType) -> Any:
    """Call a Python function of NumPy arrays, traced or not; it has no gradient.

    Args:
        function: NumPy arrays → a NumPy array of `dtype`.
        inputs: tensors.
        dtype: of what it returns.

    Returns:
        A tensor of unknown shape.
    """
    if tf.executing_eagerly():
        return tf.constant(function(*map(np.asarray, inputs)), dtype)

    def called(*arrays: Any) -> Any:
        try:
            return function(*arrays)
        except RobustError as error:
            number = next(_NUMBERS)
            _KEPT[number] = error
            while len(_KEPT) > _MOST:
                _KEPT.popitem(last=False)
            raise RuntimeError(f"tfrobust error number {number}: {error}") from error

    return tf.numpy_function(called, list(inputs), dtype)


@contextlib.contextmanager
def raised_in_python() -> Iterator[None]:
    """Raise the error of a Python function that ends what is run inside, as it was raised."""
    try:
        yield
    except Exception as error:  # TensorFlow has several
        found = _MARK.search(str(error))
        kept = _KEPT.pop(int(found[1]), None) if found else None
        if kept is None:
            raise
        raise kept from None
