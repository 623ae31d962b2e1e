"""The workers of a run: Ray actors, hired when they are needed and replaced when they die."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import time
from pathlib import Path
from typing import Any

from tfrobust.execution.ray_cluster import Cluster, imported_ray
from tfrobust.execution.ray_worker import Started, Worker, WorkerPlace
from tfrobust.execution.worker_environment import worker_environment
from tfrobust.execution.worker_logs import last_lines


@dataclasses.dataclass(eq=False)
class Task:
    """An item on its way, and how many workers have died of it."""

    item: Any
    deaths: int = 0


@dataclasses.dataclass(eq=False)
class Actor:
    """A worker, with what it has been given and has not returned, in that order.

    Attributes:
        number: from 1; a worker that replaces a dead one has a number of its own.
        handle: Ray's.
        given: reference to a result → its item; `None`: the start of a job.
        started: what it said when it had started; `None`: it has not.
        hired: when, of `time.monotonic`.
    """

    number: int
    handle: Any
    given: dict[Any, Task | None] = dataclasses.field(default_factory=dict)
    started: Started | None = None
    hired: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def title(self) -> str:
        """Its name in messages."""
        host = f" on {self.started.host}" if self.started else ""
        return f"worker {self.number}{host}"

    @property
    def load(self) -> int:
        """How many items it has."""
        return sum(task is not None for task in self.given.values())

    def begin(self, job: Any) -> None:
        """Let it load a job, before the items that follow; it forgets an earlier one."""
        self.given = {self.handle.start.remote(job): None}
        self.started = None

    def give(self, task: Task) -> None:
        """Give it one more item."""
        self.given[self.handle.compute.remote(task.item)] = task


class Pool:
    """The workers of a run on one cluster.

    Args:
        cluster: that this process is connected to.
        logs: the folder for what the workers print.
    """

    def __init__(self, cluster: Cluster, logs: Path) -> None:
        self.cluster, self.logs = cluster, logs
        self.actors: list[Actor] = []
        self._ray, self._run = imported_ray(), secrets.token_hex(4)
        self._numbers = itertools.count(1)

    @property
    def has_room(self) -> bool:
        """Whether one more worker may be hired."""
        return len(self.actors) < self.cluster.workers

    def hire(self) -> Actor:
        """Start a worker."""
        settings, number = self.cluster.settings, next(self._numbers)
        place = WorkerPlace(number, str(Path.cwd()), str(self.logs.absolute()), self._run)
        variables = worker_environment(settings.threads) | {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
        remote = self._ray.remote(Worker).options(
            num_cpus=settings.threads,
            num_gpus=self.cluster.gpus_per_worker,
            max_restarts=0,
            runtime_env={"env_vars": variables},
        )
        actor = Actor(number, remote.remote(place))
        self.actors.append(actor)
        return actor

    def kill(self, actor: Actor) -> None:
        """End a worker, whatever it does."""
        self.actors.remove(actor)
        actor.given = {}
        self._ray.kill(actor.handle, no_restart=True)

    def close(self) -> None:
        """End all workers."""
        while self.actors:
            self.kill(self.actors[-1])

    def last_lines(self, actor: Actor) -> list[str]:
        """Return the last lines that a worker printed."""
        return last_lines(self.cluster, actor.started, actor.number, self.logs)
