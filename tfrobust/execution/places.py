"""How many workers a cluster has room for, and which part of a GPU each has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfrobust.errors import WorkerError
from tfrobust.execution.settings import WorkerSettings


def places(machines: Sequence[tuple[int, int]], settings: WorkerSettings) -> tuple[int, float]:
    """Return how many workers there are, and which part of a GPU each has.

    More workers than GPUs share them evenly: a part that does not divide a GPU would leave some
    workers without a place.

    Args:
        machines: CPUs and GPUs of each.
        settings: of the workers.

    Raises:
        WorkerError: there is no room for them.

    Example:
        >>> places([(16, 2)], WorkerSettings(workers=3, cpus_per_worker=1))
        (3, 0.5)
    """
    gpus = sum(gpus for _, gpus in machines)
    sharing = math.ceil((settings.workers or 1) / gpus) if gpus else 0  # workers on one GPU
    by_machine = [
        min(cpus // settings.threads, gpus * sharing) if sharing else cpus // settings.threads
        for cpus, gpus in machines
    ]
    room = sum(by_machine)
    workers = room if settings.workers is None else settings.workers
    if not room or workers > room:
        have = ", ".join(f"{cpus} CPUs" + f" and {g} GPUs" * bool(gpus) for cpus, g in machines)
        raise WorkerError(
            f"--workers: no room for {workers or 1} of {settings.threads} CPUs each; the cluster's "
            f"machines have {have or 'none'}"
        )
    # Ray counts in ten thousandths; rounded up, the last worker would not fit.
    return workers, math.floor(10_000 / sharing) / 10_000 if sharing else 0.0
