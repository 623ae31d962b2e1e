"""One call of `RayExecutor.map`: which worker has which item, and what is done when one dies."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tfrobust.errors import WorkerError, one_line
from tfrobust.execution.executor import Failed
from tfrobust.execution.graph import NOT_READY
from tfrobust.execution.ray_cluster import imported_ray
from tfrobust.execution.ray_pool import Actor, Pool, Task
from tfrobust.execution.ray_worker import Done, Exhausted, Refused, Started

MOST_DEATHS = 3  # of workers, by one item or while they start
_PATIENCE = 60  # seconds without news, after which the user is told what is waited for

Log = Callable[[str], object]


class RayMapping:
    """One call of `map`: which worker has which item.

    Args:
        pool: the workers; those of an earlier call start this job too.
        in_flight: items that a worker has at a time.
        log: receives a line when a worker dies.
        job: that can be sent.
        items: that are still to be given.
    """

    def __init__(
        self, pool: Pool, in_flight: int, log: Log, job: Any, items: Iterator[Any]
    ) -> None:
        self._ray, self._pool, self._in_flight, self._log = imported_ray(), pool, in_flight, log
        self._job, self._items = self._ray.put(job), items  # sent to each machine once
        self._waiting: deque[Task] = deque()
        self._failed_starts = self._unplaced = 0
        for actor in pool.actors:
            actor.begin(self._job)

    def results(self) -> Iterator[tuple[Any, Any]]:
        """Yield items with their rows, as they finish."""
        self._give_out()
        while self._waiting or any(actor.load for actor in self._pool.actors):
            owners = {ref: actor for actor in self._pool.actors for ref in actor.given}
            ready, _ = self._ray.wait(list(owners), timeout=_PATIENCE)
            for reference in ready:
                yield from self._received(owners[reference], reference)
            self._give_out()
            self._name_unplaced()

    def _give_out(self) -> None:
        """Hire a worker for each item that waits, and give items to those that have started.

        A worker for which there is no place would keep its items for ever.
        """
        while self._pool.has_room and self._wait_for(_unloaded(self._pool.actors) + 1):
            self._pool.hire().begin(self._job)
        while (actor := self._least_loaded()) is not None and self._wait_for(1):
            actor.give(self._waiting.popleft())

    def _wait_for(self, count: int) -> bool:
        """Take items until so many wait; tell whether there are so many for now."""
        while len(self._waiting) < count:
            item = next(self._items, NOT_READY)
            if item is NOT_READY:
                return False
            self._waiting.append(Task(item))
        return True

    def _least_loaded(self) -> Actor | None:
        """Return the worker that takes the next item, if one has started and takes more."""
        started = [actor for actor in self._pool.actors if actor.started]
        least = min(started, key=_load, default=None)
        return least if least is not None and least.load < self._in_flight else None

    def _name_unplaced(self) -> None:
        """Log how many workers have not started for long, whenever that number changes."""
        late = time.monotonic() - _PATIENCE
        unplaced = sum(not actor.started and actor.hired < late for actor in self._pool.actors)
        if unplaced and unplaced != self._unplaced:
            self._log(
                f"{unplaced} of {self._pool.cluster.workers} workers have not started: the cluster "
                "has no free place for them, or starts slowly; those that have started compute"
            )
        self._unplaced = unplaced

    def _received(self, actor: Actor, reference: Any) -> Iterator[tuple[Any, Any]]:
        """Take what a worker has returned, or find that it is dead."""
        if reference not in actor.given:  # it was buried when another result was asked for
            return
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from error
            raise WorkerError(f"{actor.title}: {one_line(error)}") from error
        except self._ray.exceptions.RayError as error:
            yield from self._bury(actor, one_line(error))
            return
        if isinstance(answer, Exhausted):
            yield from self._bury(actor, answer.cause)
            return
        task = actor.given.pop(reference)
        if isinstance(answer, Refused):
            raise answer.error
        if isinstance(answer, Started):
            actor.started, self._failed_starts = answer, 0
        elif task is not None and isinstance(answer, Done):
            yield task.item, answer.rows

    def _bury(self, actor: Actor, cause: str) -> Iterator[tuple[Any, Any]]:
        """Put a dead worker's items back: the first that it left unfinished has killed it."""
        finished: list[tuple[Any, Any]] = []
        left: list[Task | None] = []
        for reference, task in actor.given.items():
            if task is not None and (done := self._finished(reference)) is not None:
                finished.append((task.item, done.rows))
            else:
                left.append(task)
        self._pool.kill(actor)
        lines = self._pool.last_lines(actor)
        if left and left[0] is None:
            self._failed_starts += 1
        blamed = left[0] if left else None
        if blamed is not None:
            blamed.deaths += 1
        given_up = blamed is not None and blamed.deaths >= MOST_DEATHS
        self._waiting.extendleft(
            task for task in reversed(left) if task and not (given_up and task is blamed)
        )
        self._log(f"{actor.title} died ({cause}); what it was doing is done again")
        for line in lines:
            self._log(f"  {line}")
        self._check_starts(cause)
        yield from finished
        if blamed is not None and given_up:
            yield blamed.item, Failed(f"{MOST_DEATHS} workers died of it: {cause}")

    def _finished(self, reference: Any) -> Done | None:
        """Return what a worker computed before it died."""
        try:
            answer = self._ray.get(reference, timeout=0)
        except self._ray.exceptions.RayError:  # a timeout is one too
            return None
        return answer if isinstance(answer, Done) else None

    def _check_starts(self, cause: str) -> None:
        """Refuse to start workers for ever.

        Raises:
            WorkerError: three in a row died while they started.
        """
        if self._failed_starts >= MOST_DEATHS:
            raise WorkerError(
                f"{MOST_DEATHS} workers died while they started ({cause}); what they printed is in "
                f"{self._pool.logs}"
            )


def _load(actor: Actor) -> int:
    return actor.load


def _unloaded(actors: Iterable[Actor]) -> int:
    return sum(not actor.load for actor in actors)
