"""What a training on several workers asks of them: the same command, and one store for all."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tfrobust.errors import StoreError, UsageError
from tfrobust.files.atomic import atomic_write
from tfrobust.pipeline.plans import difference, requested
from tfrobust.training.workers import Workers

_TOKEN = "workers-meet"  # a file that the chief writes and all workers read  # noqa: S105
_PATIENCE = 10.0  # seconds until a network's file system shows a file that another machine wrote


@contextlib.contextmanager
def held_by_chief(workers: Workers, claim: AbstractContextManager[Any]) -> Iterator[None]:
    """Enter a context on the chief alone; the others go on once it is entered.

    Raises:
        RobustError: on every worker, what entering it raises on the chief.
    """
    with contextlib.ExitStack() as held:
        workers.on_chief(lambda: held.enter_context(claim))
        yield


def check_alike(workers: Workers, plan: dict[str, Any]) -> None:
    """Refuse workers that were started with different commands.

    Args:
        workers: of the training.
        plan: the record of this worker's plan.

    Raises:
        UsageError: names the first option that differs, and on which worker.
    """
    wanted = requested(plan)
    first, *others = workers.agreed(lambda: wanted)
    for number, other in enumerate(others, 1):
        if other != first:
            where = ("on worker 0", f"on worker {number}")
            raise UsageError(
                "strategy: expected the same command on every worker; received: "
                f"{difference(first, other, where)}; start all workers alike"
            )


def check_shared(workers: Workers, folder: Path) -> None:
    """Refuse a folder that the workers do not share: they read the chief's checkpoints there.

    Raises:
        StoreError: names the first worker that does not see what the chief writes.
    """
    if workers.count == 1:
        return
    file = folder / _TOKEN

    def written() -> str:
        token = secrets.token_hex(8)
        atomic_write(file, lambda place: place.write_text(token, encoding="utf-8"))
        return token

    token = workers.on_chief(written)

    def check() -> None:
        until = time.monotonic() + _PATIENCE
        while not _holds(file, token):
            if time.monotonic() > until:
                raise StoreError(
                    f"{folder}: is another folder than the chief's, whose checkpoints all workers "
                    "read; let TFROBUST_MODELS name a folder that all machines share"
                )
            time.sleep(0.2)

    workers.agreed(check)
    workers.on_chief(lambda: file.unlink(missing_ok=True))


def _holds(file: Path, token: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == token
    except (OSError, UnicodeDecodeError):
        return False
