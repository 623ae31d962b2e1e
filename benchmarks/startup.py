"""The time of the command line until its first output."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

_REPEATS = 7


def measure() -> list[dict[str, Any]]:
    """Time `--help` and `plugins`, the median of several fresh processes."""
    return [_row("--help", 0.5), _row("plugins", 1.0)]


def _row(argument: str, bar: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tfrobust_cli.main", argument]
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 (our own)
        seconds.append(time.perf_counter() - began)
    median = sorted(seconds)[_REPEATS // 2]
    return {
        "what": f"`tfrobust {argument}`",
        "measured": f"{median:.2f} s",
        "bar": f"≤ {bar} s",
        "holds": median <= bar,
    }
