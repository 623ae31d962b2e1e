"""The `Executor` protocol: one job, many items, rows that return as they are finished.

A job describes work by settings alone, so that another process can begin it as well. What it loads,
it loads once in each worker, in `start`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from tfrobust.errors import BudgetSpentError
from tfrobust.execution.graph import NOT_READY

Item = TypeVar("Item")
Rows = TypeVar("Rows")
Item_contra = TypeVar("Item_contra", contravariant=True)
Rows_co = TypeVar("Rows_co", covariant=True)


class Job(Protocol[Item_contra, Rows_co]):
    """Work on many items that share what is loaded for them."""

    def start(self) -> Callable[[Item_contra], Rows_co]:
        """Load what all items need; called once in each worker.

        Returns:
            What computes one item.
        """


@dataclasses.dataclass(frozen=True)
class Failed:
    """An item that could not be computed: its workers died three times, or a budget was spent.

    Attributes:
        cause: one line.
    """

    cause: str


class Executor(Protocol):
    """Computes the items of a job, in this process or in others."""

    def map(
        self, job: Job[Item, Rows], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Rows | Failed]]:
        """Yield each item with its rows, in the order in which they finish.

        Raises:
            RobustError: the first one that the work raises, unchanged; the rest is cancelled.
        """


class InProcess:
    """Computes one item after the other, in this process.

    Example:
        >>> for block, rows in InProcess().map(job, blocks): ...
    """

    def map(
        self, job: Job[Item, Rows], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Rows | Failed]]:
        """Yield each item with its rows, in their order; see `Executor`.

        Nothing is loaded where there is no item. An item that is not ready now never will be, since
        nothing else is computed meanwhile.
        """
        compute: Callable[[Item], Rows] | None = None
        for item in items:
            if item is NOT_READY:
                return
            compute = compute or job.start()
            try:
                rows: Rows | Failed = compute(item)
            except BudgetSpentError as error:
                rows = Failed(str(error))
            yield item, rows
