"""The last lines of a worker that died."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tfrobust.errors import RobustError, printable
from tfrobust.execution.agreement import answers
from tfrobust.execution.ray_cluster import Cluster
from tfrobust.execution.ray_worker import Started

_LINES, _BYTES = 5, 4096


def last_lines(cluster: Cluster, started: Started | None, number: int, logs: Path) -> list[str]:
    """Return the last lines that a worker printed.

    Args:
        cluster: where the worker ran.
        started: what it said when it started; none: it did not come so far.
        number: of the worker.
        logs: the folder for what workers print; lines from another machine are written there too.
    """
    own = logs / f"worker-{number}.log"
    text = _tail()(str(own))
    if not text and started is not None and not own.exists():
        text = _from_machines(cluster, started.log)
        if text:
            own.write_text(text, encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    return [printable(line, 300) for line in lines[-_LINES:]]


def _from_machines(cluster: Cluster, log: str) -> str:
    """Return the end of a file that lies on one of the other machines."""
    try:
        return max(answers(cluster, _tail(), log).values(), key=len, default="")
    except RobustError:  # the machine died with its worker
        return ""


def _tail() -> Callable[[str], str]:
    """Return a function that reads the end of a file; nested, so that Ray sends its code."""
    most = _BYTES

    def tail(path: str) -> str:
        if not os.path.exists(path):
            return ""
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - most))
            return file.read().decode(errors="replace")

    return tail
