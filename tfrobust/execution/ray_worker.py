"""What runs in a worker: it starts a job once, then computes its items."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tfrobust.errors import RobustError, one_line
from tfrobust.execution.executor import Job

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class WorkerPlace:
    """Where a worker works.

    Attributes:
        number: of the worker, from 1.
        folder: this process's, which relative paths mean; used where the worker sees it.
        logs: where its output goes; elsewhere among temporary files where it does not see it.
        run: tells the temporary files of runs apart.
    """

    number: int
    folder: str
    logs: str
    run: str


@dataclasses.dataclass(frozen=True)
class Started:
    """A worker that has started a job.

    Attributes:
        log: the file that its output goes to.
        host: the machine's name.
        process: the worker's process number.
    """

    log: str
    host: str
    process: int


@dataclasses.dataclass(frozen=True)
class Done:
    """What was computed of an item."""

    rows: Any


@dataclasses.dataclass(frozen=True)
class Refused:
    """A mistake of the user, which the work has found."""

    error: RobustError


@dataclasses.dataclass(frozen=True)
class Exhausted:
    """Memory was short: another worker tries the item again.

    Attributes:
        cause: one line.
    """

    cause: str


class Worker:
    """An actor; see `RayExecutor`."""

    def __init__(self, place: WorkerPlace) -> None:
        if Path(place.folder).is_dir():
            os.chdir(place.folder)
        self._log = _logged(place)
        self._compute: Callable[[Any], Any] | None = None

    def start(self, job: Job[Any, Any]) -> Started | Refused | Exhausted:
        """Load what all items of a job need."""
        from tfrobust.classifiers.keras.models import check_backend

        def started() -> Started:
            check_backend()
            self._compute = job.start()
            return Started(self._log, platform.node(), os.getpid())

        return outcome(started)

    def compute(self, item: Any) -> Done | Refused | Exhausted:
        """Compute one item of the job that was started last."""
        compute = self._compute
        if compute is None:
            raise RuntimeError("compute: no job was started")
        return outcome(lambda: Done(compute(item)))


def outcome(work: Callable[[], Answer]) -> Answer | Refused | Exhausted:
    """Return what work returns, or why it could not be done; a mistake in the code is raised."""
    import tensorflow as tf

    try:
        return work()
    except RobustError as error:
        return Refused(error)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        traceback.print_exc()  # in the worker's log
        return Exhausted(f"out of memory: {one_line(error)}")


def _logged(place: WorkerPlace) -> str:
    """Send what this process writes to its own file, and return that."""
    logs = Path(place.logs)
    if not logs.is_dir():  # another machine
        logs = Path(tempfile.gettempdir()) / f"tfrobust-{place.run}"
        logs.mkdir(exist_ok=True)
    path = logs / f"worker-{place.number}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    return str(path)
