"""Writing without leaving halves behind: everything is written beside, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import RobustError, StoreError, one_line

_PREFIX = ".tfrobust-"
PARTIAL = ".tfrobust-partial"  # what an interrupted evaluation leaves in its folder
_REFUSALS = {"ResourceExhaustedError", "PermissionDeniedError", "UnknownError", "NotFoundError"}


def write_beside(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside `path`, then rename it.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with refused_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        beside = Path(name)
        try:
            write(beside)
            beside.chmod(0o644)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an `.npz`.

    Raises:
        StoreError: the disk refuses.
    """

    def save(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_beside(path, save)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an `.npz`; pickled objects are never loaded.

    Raises:
        StoreError: it is missing, no file, damaged, no `.npz`, or holds pickled objects.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            archive.namelist()
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and NumPy raise half a dozen kinds
        cause = getattr(error, "strerror", None) or one_line(error)
        if "pickle" in cause.lower():
            cause = "it holds pickled objects, which could run code and are never loaded"
        raise StoreError(
            f"{path}: not a readable .npz ({cause}); delete it, or name another file"
        ) from error


def check_regular(path: Path) -> None:
    """Refuse what is there and no file: opening a FIFO waits for ever, and a device has no end.

    Raises:
        StoreError: names it.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a FIFO, socket or device"
        raise StoreError(f"{path}: expected a file; received: {what}; name another one")


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `path` only if nothing raises.

    An existing `path` is replaced as the last step.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with refused_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
    try:
        with refused_disk(path):
            yield beside
            beside.chmod(0o755)
            _replace_folder(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent)) / "old"
    path.replace(old)
    new.replace(path)
    shutil.rmtree(old.parent, ignore_errors=True)


@contextlib.contextmanager
def refused_disk(path: Path | str) -> Iterator[None]:
    """Turn what a disk or TensorFlow's file system raises into one line.

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
        if type(error).__name__ in _REFUSALS:
            raise StoreError(f"cannot write {path}: {one_line(error)}") from error
        raise


@contextlib.contextmanager
def claimed_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield `path` as a folder that results may be written to.

    A folder that was made for them is taken away again if nothing came of it. What an interrupted
    evaluation left in it may stay: it goes on from there.

    Raises:
        StoreError: it is a file, holds other things (and `force` is off), or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path}: expected a folder; received: a file")
    if path.is_dir() and _others(path) and not force:
        raise StoreError(f"{path}: is not empty; choose another --out, or overwrite with --force")
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with refused_disk(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f"{_PREFIX}probe"
        probe.touch()
        probe.unlink()
    try:
        yield path
    finally:
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _others(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != PARTIAL]
