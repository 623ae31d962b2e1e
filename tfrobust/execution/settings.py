"""How work is spread over workers: what a user says, before Ray or TensorFlow is imported."""

from __future__ import annotations

import dataclasses

from tfrobust.environment.cores import usable_cores
from tfrobust.errors import UsageError

_MOST_WORKERS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How many workers compute, and where.

    Attributes:
        workers: how many; `None`: as many as the cluster has room for.
        address: of a Ray cluster, `HOST:PORT`, `ray://HOST:PORT` or `auto`; `None`: this machine.
        cpus_per_worker: cores, and so threads, of each; `None`: see `threads`.

    Raises:
        UsageError: a number below 1, or neither `workers` nor `address` is given.

    Example:
        >>> WorkerSettings(workers=2, cpus_per_worker=1).threads
        1
    """

    workers: int | None = None
    address: str | None = None
    cpus_per_worker: int | None = None

    def __post_init__(self) -> None:
        if self.workers is None and self.address is None:
            raise UsageError("workers: expected a number of workers or the address of a cluster")
        for name, value in (("workers", self.workers), ("cpus_per_worker", self.cpus_per_worker)):
            if value is not None and not 1 <= value <= _MOST_WORKERS:
                raise UsageError(f"{name}: expected 1 to {_MOST_WORKERS:,}; received: {value}")

    @property
    def threads(self) -> int:
        """How many threads a worker spreads an operation over on the CPU.

        By default the workers of this machine share its cores, and those of a cluster have one
        each. Figures are the same bit for bit only where it is the same; see
        `tfrobust.environment.threads`.
        """
        if self.cpus_per_worker is not None:
            return self.cpus_per_worker
        if self.address is not None or self.workers is None:
            return 1
        return max(1, usable_cores() // self.workers)
