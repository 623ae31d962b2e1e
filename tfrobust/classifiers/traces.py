"""A cache of traced functions; a trace lives as long as the object that it was traced for."""

from __future__ import annotations

import collections
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from tfrobust.classifiers.custom_gradients import tie_to_graphs
from tfrobust.types import TRACES

T = TypeVar("T")


class Traces(Generic[T]):
    """At most `most` traces, each stored on its owner, so that both are freed together.

    A cache that referenced the classifiers would keep their variables and their traces alive.

    Args:
        most: maximum number of traces of all owners; the least recently used one is dropped.

    Example:
        >>> traces = Traces(most=8)
        >>> traces.of(classifier, "square", lambda: tf.function(tf.square))
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._recent: collections.OrderedDict[tuple[int, Hashable], weakref.ref[Any]] = (
            collections.OrderedDict()
        )

    def of(self, owner: Any, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached trace for an owner and a key, or make it."""
        tie_to_graphs()
        kept = self._kept(owner)
        if key not in kept:
            kept[key] = make()
        self._recent[id(owner), key] = weakref.ref(owner)
        self._recent.move_to_end((id(owner), key))
        self._leave_out()
        return kept[key]

    def clear(self) -> None:
        """Forget all of them."""
        for reference in self._recent.values():
            if (owner := reference()) is not None:
                self._kept(owner).clear()
        self._recent.clear()

    def _kept(self, owner: Any) -> dict[Hashable, T]:
        """Return an owner's own; a shallow copy of it has none yet."""
        number, kept = vars(owner).get(TRACES, (None, {}))
        if number != id(owner):
            kept = {}
            object.__setattr__(owner, TRACES, (id(owner), kept))  # past tf.Module's
        own: dict[Hashable, T] = kept.setdefault(id(self), {})
        return own

    def _leave_out(self) -> None:
        for token in [token for token, owner in self._recent.items() if owner() is None]:
            del self._recent[token]
        while len(self._recent) > self._most:
            (_, key), reference = self._recent.popitem(last=False)
            if (owner := reference()) is not None:
                self._kept(owner).pop(key, None)
