"""Items of which some need others to be finished first."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

NOT_READY: Any = object()  # no item for now: those that are left need one that is being computed
Node = TypeVar("Node", bound=Hashable)


class Graph(Generic[Node]):
    """Yields items as soon as what they need is finished; in their order, as far as possible.

    An executor that computes several items at a time asks for more than are ready, and is answered
    `NOT_READY`; it asks again when one has finished. Who reads the results calls `finish`.

    Args:
        needs: item → the items that it needs, which stand before it.

    Example:
        >>> graph = Graph({"train": (), "attack": ("train",)})
        >>> for node, rows in executor.map(job, graph): graph.finish(node)
    """

    def __init__(self, needs: Mapping[Node, Collection[Node]]) -> None:
        self._waiting, self._finished = dict(needs), set[Node]()
        self._count = len(needs)

    def __len__(self) -> int:
        """Return how many items there are, finished ones too."""
        return self._count

    def __iter__(self) -> Iterator[Node]:
        """Return itself: an item is yielded once."""
        return self

    def __next__(self) -> Node:
        """Return an item that is ready, or `NOT_READY`."""
        if not self._waiting:
            raise StopIteration
        for node, needed in self._waiting.items():
            if self._finished.issuperset(needed):
                del self._waiting[node]
                return node
        not_ready: Node = NOT_READY
        return not_ready

    def finish(self, node: Node) -> None:
        """Let items that need this one be yielded."""
        self._finished.add(node)

    @property
    def unreached(self) -> Sequence[Node]:
        """The items that were never yielded, since one that they need was not finished."""
        return list(self._waiting)
