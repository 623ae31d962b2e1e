"""Spreads items over Ray actors: one a GPU, or one for so many CPUs.

Ray places the actors, moves results and notices who dies. What is decided here: an actor starts the
job once and then has a few items in flight; one for which there is no place has none; one that dies
is replaced, and its item is computed again; an item of which three workers die is given up, and the
rest goes on.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tfrobust.environment.versions import threads
from tfrobust.execution.agreement import check_agreement, every_machine_sees
from tfrobust.execution.executor import Failed, Item, Job, Rows
from tfrobust.execution.portable import Portable
from tfrobust.execution.ray_cluster import connected
from tfrobust.execution.ray_mapping import Log, RayMapping
from tfrobust.execution.ray_pool import Pool
from tfrobust.execution.reopening import Reopening
from tfrobust.execution.settings import WorkerSettings
from tfrobust.execution.travelling import StorePacker
from tfrobust.files.claims import made_folder


@contextlib.contextmanager
def ray_workers(
    settings: WorkerSettings,
    logs: Path,
    *,
    shared: Path | None = None,
    in_flight: int = 2,
    log: Log = lambda _: None,
    reopening: Reopening | None = None,
) -> Iterator[RayExecutor]:
    """Yield an executor whose workers are started when they are needed, and ended at the end.

    Args:
        settings: how many workers, and where.
        logs: the folder for what the workers print, one file each; it is created.
        shared: a folder that all machines must see, if the job writes there.
        in_flight: items that a worker has at a time, the one it computes among them.
        log: receives a line when a worker dies.
        reopening: opens the classifiers that it knows in the workers; see `StorePacker`.

    Raises:
        UsageError: Ray is not installed.
        WorkerError: no cluster answers, or its machines have other versions or plugins.
        StoreError: a machine does not see the shared folder.

    Example:
        >>> with ray_workers(WorkerSettings(workers=2), Path("runs/d1/logs")) as executor:
        ...     for block, rows in executor.map(job, blocks): ...
    """
    with connected(settings) as cluster:
        check_agreement(cluster, shared)
        if threads() != settings.threads:
            log(
                f"this process computes with {threads()} threads and the workers with "
                f"{settings.threads}: figures may differ in the last digits from those of one "
                f"process; set TF_NUM_INTRAOP_THREADS={settings.threads} before TensorFlow starts"
            )
        with made_folder(logs), contextlib.closing(Pool(cluster, logs)) as pool:
            yield RayExecutor(pool, in_flight=in_flight, log=log, reopening=reopening)


class RayExecutor:
    """Computes the items of a job in workers; see `ray_workers`.

    Args:
        pool: the workers.
        in_flight: see `ray_workers`.
        log: see `ray_workers`.
        reopening: see `ray_workers`.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        in_flight: int = 2,
        log: Log = lambda _: None,
        reopening: Reopening | None = None,
    ) -> None:
        self._pool, self._in_flight, self._log = pool, in_flight, log
        self._reopening = reopening

    def map(
        self, job: Job[Item, Rows], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Rows | Failed]]:
        """Yield each item with its rows, in the order in which they finish; see `Executor`.

        Raises:
            RobustError: the first that the work raises; or that workers die while they start.
        """
        packed: Any = job
        if isinstance(job, Portable):
            cluster = self._pool.cluster
            sees = functools.partial(every_machine_sees, cluster)
            packed = job.packed(StorePacker(sees, self._reopening))
        mapping = RayMapping(self._pool, self._in_flight, self._log, packed, iter(items))
        try:
            yield from mapping.results()
        except BaseException:  # a mistake, Ctrl-C, or a reader that has had enough
            self._pool.close()
            raise
