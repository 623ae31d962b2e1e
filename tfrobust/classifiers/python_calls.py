"""Python functions inside traced ones, whose errors come out again as they were raised.

TensorFlow turns what such a function raises into an error of its own, with the text in it. The
error itself is kept here until whoever ran the graph asks for it (`raised_in_python`).

Python looks at signals in the main thread alone, which meanwhile waits inside TensorFlow for what
may be hours of questions to an endpoint. So each call looks whether Ctrl-C was pressed, and then
ends the graph; the main thread does the rest.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import itertools
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import RobustError

_MOST = 64  # errors kept; nobody asks for one that a third-party attack swallows
_KEPT: collections.OrderedDict[int, RobustError] = collections.OrderedDict()
_NUMBERS = itertools.count()
_ENDED = "tfrobust was interrupted"
_LOOK = 0.2  # seconds between two looks whether Ctrl-C was pressed
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
        stop_if_interrupted()
        try:
            return function(*arrays)
        except RobustError as error:
            number = next(_NUMBERS)
            _KEPT[number] = error
            while len(_KEPT) > _MOST:
                _KEPT.popitem(last=False)
            raise RuntimeError(f"tfrobust error number {number}: {error}") from error

    return tf.numpy_function(called, list(inputs), dtype)


def stop_if_interrupted() -> None:
    """End the graph that waits for this thread, if Ctrl-C was pressed.

    Raises:
        RuntimeError: it was; `raised_in_python` makes a `KeyboardInterrupt` of it.
    """
    if _interrupted():
        raise RuntimeError(_ENDED)


def pause(seconds: float) -> None:
    """Wait, in a thread that a graph may be waiting for; see `stop_if_interrupted`."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        stop_if_interrupted()


@contextlib.contextmanager
def raised_in_python() -> Iterator[None]:
    """Raise the error of a Python function that ends what is run inside, as it was raised."""
    try:
        with _signals_noticed():
            yield
    except Exception as error:  # TensorFlow has several
        if _ENDED in str(error) or "KeyboardInterrupt" in str(error):  # which replaced the other
            raise KeyboardInterrupt from None
        found = _MARK.search(str(error))
        kept = _KEPT.pop(int(found[1]), None) if found else None
        if kept is None:
            raise
        raise kept from None


@functools.cache
def _wires() -> tuple[socket.socket, socket.socket]:
    """Return a pair of sockets: what the system writes signals to, and where they are read."""
    writes, reads = socket.socketpair()
    for wire in (writes, reads):
        wire.setblocking(False)
        atexit.register(wire.close)
    return writes, reads


@contextlib.contextmanager
def _signals_noticed() -> Iterator[None]:
    """Let signals be noticed by whichever thread looks, if this is the main one."""
    if threading.current_thread() is not threading.main_thread():  # Python allows it nowhere else
        yield
        return
    _interrupted()  # forget earlier ones
    before = signal.set_wakeup_fd(_wires()[0].fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)


def _interrupted() -> bool:
    """Tell whether the process was asked to end since the last look."""
    try:
        numbers = _wires()[1].recv(64)
    except BlockingIOError:
        return False
    return bool({signal.SIGINT, signal.SIGTERM} & set(numbers))
