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
    """Hold a claim; the file of the lock exists only while it is held.

    Args:
        lock: the file, in a folder that exists.
        refusal: the message for a second process: what is going on, a semicolon, what to do.

    Raises:
        OccupiedError: another process holds it; the message names its number.
        OSError: the file cannot be created.
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
        # Before the release: afterwards the file may belong to another process.
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)
        claim.release()


def _holder(lock: Path) -> str:
    """Return the holder of a claim, such as ` (process 42 on here)`; empty where nobody knows."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if holder := lock.read_text(encoding="utf-8")[:200].strip():
            return f" ({holder})"
    return ""


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder with its parents; remove those that were created again if they are empty.

    Raises:
        OSError: it cannot be created.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in created:
            with contextlib.suppress(OSError):  # not empty, or gone
                path.rmdir()
