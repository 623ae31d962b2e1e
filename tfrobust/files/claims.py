"""Claims: two processes that want to write the same take turns, or the second is refused.

A claim is a lock on a file, which the system lifts when the process that holds it ends, however it
ends: one that was killed blocks nobody.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import filelock

from tfrobust.errors import StoreError
from tfrobust.files.leftovers import PREFIX

LOCK = f"{PREFIX}lock"


class OccupiedError(StoreError):
    """Another process is writing there."""


@contextlib.contextmanager
def alone(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a claim; the lock's file is there only meanwhile.

    Args:
        lock: the file, in a folder that exists.
        refusal: what is said to a second process: what is going on, a semicolon, what to do.

    Raises:
        OccupiedError: another process holds it; its number is told.
        OSError: the file cannot be made.
    """
    claim = filelock.FileLock(lock)
    try:
        claim.acquire(timeout=0)
    except filelock.Timeout as error:
        what, _, remedy = refusal.rpartition(";")
        raise OccupiedError(f"{what}{_holder(lock)};{remedy}") from error
    try:
        with contextlib.suppress(OSError):  # a courtesy: the lock holds without it
            lock.write_text(f"process {os.getpid()} on {platform.node()}\n", encoding="utf-8")
        yield
    finally:
        # Before it is let go: afterwards the file may be another's already.
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)
        claim.release()


def _holder(lock: Path) -> str:
    """Return who holds a claim, ` (process 42 on here)`, as far as it is told."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if told := lock.read_text(encoding="utf-8")[:200].strip():
            return f" ({told})"
    return ""


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again, with those above it that were made, if it is empty.

    Raises:
        OSError: it cannot be made.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # not empty, or gone
                each.rmdir()
