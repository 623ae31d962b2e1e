"""Atomic writes: everything is written to a temporary place beside, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfrobust.errors import RobustError, StoreError, one_line
from tfrobust.files.leftovers import (
    put_in_place,
    sweep,
    temporary_file,
    temporary_folder,
)
from tfrobust.files.reading import read_json

_TOO_LARGE = "File too large"  # a quota; TensorFlow calls it out of range
_REFUSALS = {"ResourceExhaustedError", "PermissionDeniedError", "UnknownError", "NotFoundError"}


def atomic_write(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary = temporary_file(path.parent, path.suffix)
        try:
            write(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, new: bool = False, note: Path | None = None) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `path` only if nothing raises.

    Args:
        path: replaced as the last step, if it exists.
        new: refuse to replace it, even if it has been created meanwhile.
        note: a file that records what is about to become `path`, before the rename. With it a
            run that is resumed after a kill finds what is `made_before`.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary = temporary_folder(path.parent)
    try:
        with disk_errors(path):
            yield temporary
            temporary.chmod(0o755)
            if note:
                noted = json.dumps({"name": path.name, "sha256": _digest(temporary)})
                atomic_write(note, lambda file: file.write_text(noted, encoding="utf-8"))
            if new:
                _create(temporary, path)
            else:
                put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _create(temporary: Path, path: Path) -> None:
    """Rename a folder to a path that must not exist: no system renames onto a full folder."""
    try:
        temporary.rename(path)
    except OSError as error:
        if path.exists():
            raise StoreError(
                f"{path}: exists already and is never overwritten; choose a new version"
            ) from error
        raise


def made_before(note: Path, home: Path) -> Path | None:
    """Return the folder in `home` that a note names, if it is there and unchanged.

    Args:
        note: as `atomic_folder` writes it.
        home: of the folder.
    """
    try:
        noted = read_json(note)
        folder = home / Path(noted["name"]).name
        return folder if folder.is_dir() and _digest(folder) == noted["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # without a readable note it is written again


def _digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        content.update(f"{path.relative_to(folder)}\n".encode())
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn errors of the disk, or of TensorFlow's file system, into one line.

    Raises:
        StoreError: naming `path` and the cause.
    """
    try:
        yield
    except RobustError:
        raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    except Exception as error:
        # TensorFlow reports a full or forbidden disk by errors of its own.
        if type(error).__name__ in _REFUSALS or _TOO_LARGE in str(error):
            raise StoreError(f"cannot write {path}: {one_line(error)}") from error
        raise
