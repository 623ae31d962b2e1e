"""Memory that is freed goes back to the system, and threads share heaps."""

import ctypes
import re
from pathlib import Path

import pytest

from helpers.support import python
from tfrobust.environment.allocator import most_heaps, release_freed_memory
from tfrobust.environment.cores import usable_cores

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
_THREADS = 2 * most_heaps(usable_cores()) + 2
_HEAPS = f"""
import ctypes, threading
from tfrobust.environment.allocator import limit_heaps
limit_heaps()
library = ctypes.CDLL(None)
together = threading.Barrier({_THREADS})
def allocate():
    together.wait()
    library.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range({_THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.malloc_stats()
"""


def resident() -> int:
    """Return how much memory this process holds, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) // 1024


def test_what_is_freed_between_pieces_that_stay_goes_back_to_the_system():
    before = resident()
    pieces = [bytes(100_000) for _ in range(2_000)]
    for piece in pieces:
        ctypes.memset(id(piece) + 64, 1, 90_000)  # a page that is only read takes no memory
    held = resident()
    kept = pieces[::100]
    del pieces, piece
    release_freed_memory()
    assert held - before > 150
    assert resident() - before < 50
    assert len(kept) == 20


def heaps(**environment: str) -> int:
    """Return how many heaps a process with many threads has after `limit_heaps`."""
    done = python(_HEAPS, **environment)
    assert done.returncode == 0, done.stderr
    return len(re.findall(r"^Arena \d+:", done.stderr, re.MULTILINE))


def test_threads_share_as_many_heaps_as_there_are_cores(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert heaps() <= most_heaps(usable_cores())


def test_a_number_of_heaps_that_the_user_gives_stays():
    assert heaps(MALLOC_ARENA_MAX=str(most_heaps(usable_cores()) + 1)) > most_heaps(usable_cores())
