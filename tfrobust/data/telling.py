"""How far a long preparation of data is, told to whoever listens.

A scenario's `prepare` takes no progress: it tells here, and the command line listens.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Listener = Callable[[str, int, int], None]  # what, done, total
_T = TypeVar("_T")
_LISTENER: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("listener")


@contextlib.contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Let a function hear how far preparations are.

    Example:
        >>> with told_to(lambda what, done, total: print(what, done, total)):
        ...     tell("reading images", 3, 10)
        reading images 3 10
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def is_told() -> bool:
    """Tell whether anybody listens."""
    return _LISTENER.get(None) is not None


def tell(what: str, done: int, total: int) -> None:
    """Tell that `done` of `total` steps of `what` are behind; without a listener, nobody."""
    if (listener := _LISTENER.get(None)) is not None:
        listener(what, done, total)


def counted(items: Iterable[_T], what: str, total: int) -> Iterator[_T]:
    """Yield items, and tell after each how many are behind."""
    for done, item in enumerate(items):
        tell(what, done, total)
        yield item
    tell(what, total, total)
