"""Temporary files and folders named after their process, and removal of those of dead processes.

    .tfrobust-HOST.PROCESS.START-random

A process that is killed removes nothing. The next one that writes to the same folder removes what a
dead process of this user has left, and never what a living one is writing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".tfrobust-"
_DAY = 86_400  # seconds that files without a known process are kept
_OWNED = re.compile(re.escape(PREFIX) + r"([0-9a-f]{8})\.(\d+)\.(\d*)-")
_UNOWNED = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}(\.\w+)?")  # of a version before this one
_REPLACED = ".replaced-"  # in the name of a folder that holds what is just being replaced
_INSIDE = "it"


def temporary_file(folder: Path, suffix: str = "") -> Path:
    """Create an empty file in a folder, under a name of this process."""
    handle, name = tempfile.mkstemp(prefix=_mine(), suffix=suffix, dir=folder)
    os.close(handle)
    return Path(name)


def temporary_folder(folder: Path, suffix: str = "") -> Path:
    """Create an empty folder in a folder, under a name of this process."""
    return Path(tempfile.mkdtemp(prefix=_mine(), suffix=suffix, dir=folder))


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder among the system's temporary files; it is removed at the end.

    Those of dead processes are removed first.
    """
    home = Path(tempfile.gettempdir())
    sweep(home)
    folder = temporary_folder(home)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, path: Path) -> None:
    """Rename a folder to `path`, in place of the one that may be there.

    At no moment are both lost: after a kill, `sweep` puts the old one back.
    """
    if not path.exists():
        new.replace(path)
        return
    beside = temporary_folder(path.parent, f"{_REPLACED}{path.name}")
    try:
        path.replace(beside / _INSIDE)
        new.replace(path)
    finally:
        if not path.exists():  # interrupted, or refused
            (beside / _INSIDE).replace(path)
        shutil.rmtree(beside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder if it exists; after a kill it is there completely or not at all."""
    if path.exists():
        beside = temporary_folder(path.parent)
        path.replace(beside / _INSIDE)
        shutil.rmtree(beside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what dead processes of this user left in a folder; nothing is raised.

    A process of another machine cannot be looked up: its files are kept for a day.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and _is_left(entry):
                _remove(Path(entry.path))


def _remove(path: Path) -> None:
    _, replaced, name = path.name.partition(_REPLACED)
    with contextlib.suppress(OSError):
        if replaced and not (path.parent / name).exists():
            (path / _INSIDE).replace(path.parent / name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Tell whether a temporary file or folder belongs to no living process."""
    owned = _OWNED.match(entry.name)
    if owned is None and not _UNOWNED.fullmatch(entry.name):
        return False
    with contextlib.suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return False
        if owned is not None and owned[1] == _host():
            return not _lives(int(owned[2]), owned[3])
        return time.time() - status.st_mtime > _DAY
    return False  # it is gone, or not readable


def _lives(process: int, start: str) -> bool:
    """Tell whether this process lives, not a later one with its number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # it belongs to another user
    return _start(process) == start


@functools.cache
def _host() -> str:
    """Return an identifier of the machine or container, each of which numbers its own processes."""
    counted = ""
    with contextlib.suppress(OSError):
        counted = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {counted}".encode()).hexdigest()[:8]


def _start(process: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty where it is unknown."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _mine() -> str:
    process = os.getpid()  # read each time: a forked process has another one
    return f"{PREFIX}{_host()}.{process}.{_start(process)}-"
