"""Whose queries an attack spends: the number of each image, while its attack is traced or run.

A metered classifier (`Classifier.meter`) counts queries an image. What an attack asks is a batch of
one row an image, in the order of the batch; `tfrobust.engine.loop.iterate` narrows the numbers to
the images that are left. An attack that asks about several variants of each image at once says how
they lie (`repeated`, `tiled`), and one that asks something on behalf of all images says so
(`shared`): as many rows as images would look like one row an image. Rows of another number about
which nothing was said are shared out evenly. Where no numbers are held, nothing is added to any
graph.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfrobust.classifiers.held_rows import HeldRows
from tfrobust.classifiers.python_calls import call_python
from tfrobust.types import Flags

NUMBERS: HeldRows[Any] = HeldRows("numbers")  # int32 (batch,)
_SHARED: contextvars.ContextVar[bool] = contextvars.ContextVar("shared", default=False)
_REFUSED: contextvars.ContextVar[Callable[[Any], Any] | None] = contextvars.ContextVar(
    "refused", default=None
)


@contextlib.contextmanager
def asking(numbers: Any, refused: Callable[[Any], Any]) -> Iterator[None]:
    """Hold the numbers of the images of a batch.

    Args:
        numbers: int32 `(batch,)`.
        refused: NumPy numbers → which of those images get no answers any more, bool.
    """
    token = _REFUSED.set(refused)
    try:
        with NUMBERS.held(numbers):
            yield
    finally:
        _REFUSED.reset(token)


def beside() -> contextlib.AbstractContextManager[None]:
    """Let what the engine asks inside about the batch cost the run, and none of the images."""
    if NUMBERS.now is None:
        return contextlib.nullcontext()
    return NUMBERS.held(tf.fill(tf.shape(NUMBERS.now), -1))


def refused_rows(rows: Any) -> Flags | None:
    """Return which rows of the batch get no answers any more, bool `(rows,)`; `None`: all do.

    Args:
        rows: int32 `(rows,)`: positions in the batch whose numbers are held.
    """
    refused, numbers = _REFUSED.get(), NUMBERS.now
    if refused is None or numbers is None:
        return None
    flags = call_python(refused, [tf.gather(numbers, rows)], tf.bool)
    return tf.ensure_shape(flags, rows.shape)


def repeated(times: Any) -> contextlib.AbstractContextManager[None]:
    """Let what is asked inside have each image `times` times in a row, as `tf.repeat` puts it."""
    return _laid_out(lambda rows: tf.repeat(rows, times))


def tiled(times: Any) -> contextlib.AbstractContextManager[None]:
    """Let what is asked inside have the batch `times` times, as `tf.tile` puts it."""
    return _laid_out(lambda rows: tf.tile(rows, [times]))


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Let what is asked inside be about all images of the batch, and no row about one of them."""
    token = _SHARED.set(True)
    try:
        yield
    finally:
        _SHARED.reset(token)


def is_shared() -> bool:
    """Tell whether what is asked here is about all images of the batch; known when it is traced."""
    return _SHARED.get()


def _laid_out(layout: Callable[[Any], Any]) -> contextlib.AbstractContextManager[None]:
    if NUMBERS.now is None or is_shared():  # variants of shared rows are shared too
        return contextlib.nullcontext()
    return NUMBERS.narrowed(layout(tf.range(tf.size(NUMBERS.now))))
