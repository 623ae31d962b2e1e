"""How many cores this process may use; imports no TensorFlow."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(usable(0)) if usable else os.cpu_count() or 1
