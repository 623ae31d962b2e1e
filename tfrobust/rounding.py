"""How far apart two logits must lie to be told apart: float32 rounds anew in every batch size.

A minimum-norm attack ends on the decision boundary, where the same image in a batch of another size
may be predicted otherwise. By how much depends on the two logits that meet there, and on how large
they were before the attack brought them near zero, as it does where an answer is z and −z. It does
not depend on any other logit: those of masked classes are −10⁹ and more.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfrobust.types import PerImage

ROUNDING = 1e-5  # of two logits: what their last bits may differ by, with room
_HELD: contextvars.ContextVar[PerImage | None] = contextvars.ContextVar("sizes", default=None)


@contextlib.contextmanager
def held_sizes(sizes: PerImage | None) -> Iterator[None]:
    """Let logits that are compared inside count as no smaller than these, one size an image.

    Args:
        sizes: float32 `(batch,)`: those of the clean images; `None`: nothing is known of them.
    """
    token = _HELD.set(sizes)
    try:
        yield
    finally:
        _HELD.reset(token)


@contextlib.contextmanager
def narrowed_sizes(rows: Any) -> Iterator[None]:
    """Hold only some rows of what is held, int32 `(rows,)`; do nothing where nothing is."""
    now = _HELD.get()
    with held_sizes(None if now is None else tf.gather(now, rows)):
        yield


def size_of(first: Any, second: Any) -> Any:
    """Return the size of two logits by which their rounding is measured.

    Args:
        first: float32 `(…, batch)`.
        second: the same shape.

    Returns:
        The same shape: the larger of both without its sign, and no less than what is held.

    Example:
        >>> size_of(tf.constant([2.0]), tf.constant([-3.0])).numpy()
        array([3.], dtype=float32)
    """
    larger, held = tf.maximum(tf.abs(first), tf.abs(second)), _HELD.get()
    if held is None:
        return larger
    # An attack may compare other images than those that came in: several starts of each, say.
    return tf.cond(
        tf.equal(tf.size(held), tf.shape(larger)[-1]),
        lambda: tf.maximum(larger, held),
        lambda: larger,
    )
