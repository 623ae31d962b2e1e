"""What is known of the images in hand, one row an image, while an attack is traced or run."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import tensorflow as tf

Rows = TypeVar("Rows")


class HeldRows(Generic[Rows]):
    """Tensors of one row an image, which the loop narrows to the rows that are left.

    They are part of the trace, and not of an attack's state.

    Args:
        name: of what is held.
    """

    def __init__(self, name: str) -> None:
        self._now: contextvars.ContextVar[Rows | None] = contextvars.ContextVar(name, default=None)

    @property
    def now(self) -> Rows | None:
        """What is held; `None` where nothing is."""
        return self._now.get()

    @contextlib.contextmanager
    def held(self, rows: Rows | None) -> Iterator[None]:
        """Hold these rows for what is traced or run inside; none: nothing."""
        token = self._now.set(rows)
        try:
            yield
        finally:
            self._now.reset(token)

    @contextlib.contextmanager
    def narrowed(self, rows: Any) -> Iterator[None]:
        """Hold only some rows of what is held, int32 `(rows,)`; do nothing where nothing is."""
        now = self.now
        if now is None:
            yield
            return
        with self.held(tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), now)):
            yield
