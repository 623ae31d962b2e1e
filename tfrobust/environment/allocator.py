"""The C library's allocator, which keeps freed memory for later; imports no TensorFlow.

Images come and go a block at a time, in many threads. glibc gives each thread a heap of its own, up
to eight for each core, and keeps what is freed in all of them: the memory of a run then grows with
its blocks although nothing holds them.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable

from tfrobust.environment.cores import usable_cores

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def most_heaps(cores: int) -> int:
    """Return how many heaps so many cores need."""
    return max(2, cores)


def limit_heaps() -> None:
    """Let the threads of this process share as many heaps as there are cores, from now on.

    It changes nothing for heaps that exist, so it comes before TensorFlow starts its threads. Where
    the environment variable `MALLOC_ARENA_MAX` gives another number, that number stays. Other C
    libraries than glibc have no such setting, and nothing happens.
    """
    if "MALLOC_ARENA_MAX" not in os.environ and (setting := _function("mallopt")):
        setting(_ARENA_MAX, most_heaps(usable_cores()))


def release_freed_memory() -> None:
    """Return freed memory to the system; takes about a millisecond. Without glibc, do nothing."""
    if trim := _function("malloc_trim"):
        trim(0)


@functools.cache
def _function(name: str) -> Callable[..., int] | None:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
