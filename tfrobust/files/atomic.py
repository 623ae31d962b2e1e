"""Writing without leaving halves behind: everything is written beside, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import RobustError, StoreError, one_line
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import (
    PREFIX,
    put_in_place,
    sweep,
    temporary_file,
    temporary_folder,
)
from tfrobust.files.reading import read_arrays, read_json

PARTIAL = ".tfrobust-partial"  # what an interrupted evaluation leaves in its folder
_NAMES = "written"  # in it: the files of the run, noted before the first of them is in place
_TOO_LARGE = "File too large"  # a quota; TensorFlow calls it out of range
_REFUSALS = {"ResourceExhaustedError", "PermissionDeniedError", "UnknownError", "NotFoundError"}


def atomic_write(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside `path`, then rename it.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        beside = temporary_file(path.parent, path.suffix)
        try:
            write(beside)
            beside.chmod(0o644)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz`.

    Raises:
        StoreError: the disk refuses.
    """

    # NumPy's own `savez` leaves its archive open when the disk refuses; Python closes it later,
    # and prints a traceback of that.
    def save(beside: Path) -> None:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    atomic_write(path, save)


def read_array(path: Path, name: str) -> np.ndarray | None:
    """Read one array of an `.npz`; `None` if it has none of this name.

    Raises:
        StoreError: the file is damaged, or no `.npz`.
    """
    return read_arrays(path, only=(name,)).get(name)


def check_regular(path: Path) -> None:
    """Refuse what is there and no file: opening a FIFO waits for ever, and a device has no end.

    Raises:
        StoreError: names it.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a FIFO, socket or device"
        raise StoreError(f"{path}: expected a file; received: {what}; name another one")


@contextlib.contextmanager
def atomic_folder(path: Path, *, new: bool = False, note: Path | None = None) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `path` only if nothing raises.

    Args:
        path: replaced as the last step, if it exists.
        new: refuse to replace it, also where it has come into being meanwhile.
        note: a file that tells what is about to become `path`, before it does: by it a run that
            goes on after a kill finds what is `made_before`.

    Raises:
        StoreError: the disk is full, read-only or forbidden; `path` is then as it was.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        beside = temporary_folder(path.parent)
    try:
        with disk_errors(path):
            yield beside
            beside.chmod(0o755)
            if note:
                noted = json.dumps({"name": path.name, "sha256": _digest(beside)})
                atomic_write(note, lambda file: file.write_text(noted, encoding="utf-8"))
            if new:
                _create(beside, path)
            else:
                put_in_place(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _create(beside: Path, path: Path) -> None:
    """Rename a folder to a path that must not exist: a system renames none onto a full one."""
    try:
        beside.rename(path)
    except OSError as error:
        if path.exists():
            raise StoreError(
                f"{path}: exists already and is never overwritten; choose a new version"
            ) from error
        raise


def made_before(note: Path, home: Path) -> Path | None:
    """Return the folder in `home` that a note tells of, if it is there and is what was noted.

    Args:
        note: as `atomic_folder` writes it.
        home: of the folder.
    """
    try:
        noted = read_json(note)
        made = home / Path(noted["name"]).name
        return made if made.is_dir() and _digest(made) == noted["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing was made, or nobody knows: it is made


def _digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content.update(f"{path.relative_to(folder)}\n".encode())
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
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
        if type(error).__name__ in _REFUSALS or _TOO_LARGE in str(error):
            raise StoreError(f"cannot write {path}: {one_line(error)}") from error
        raise


@contextlib.contextmanager
def output_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield `path` as a folder that one run, and no other meanwhile, may write its results to.

    A folder that was made for them is taken away again if nothing came of it. What an interrupted
    run left in it may stay, files that it had finished too: the same run goes on from there.

    Raises:
        StoreError: it is a file, holds other things (and `force` is off), cannot be made, or
            another process is writing to it.
    """
    check_output(path, force=True)  # what lies in it is looked at once it is claimed
    busy = f"{path}: another run is writing to it; wait until it is done, or choose another --out"
    with contextlib.ExitStack() as held:
        with disk_errors(path):
            held.enter_context(made_folder(path))
            held.enter_context(alone(path / LOCK, busy))
        sweep(path)
        check_output(path, force=force)
        yield path


def check_output(path: Path, *, force: bool = False) -> None:
    """Refuse a folder that no run may write its results to, before anything is loaded for it.

    Raises:
        StoreError: it is a file, or holds other things and `force` is off.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreError(f"{path}: expected a folder; received: a file")
    if not force and _others(path):
        raise StoreError(f"{path}: is not empty; choose another --out, or overwrite with --force")


def _others(folder: Path) -> list[Path]:
    """Return what is in a folder and is not of the run that was interrupted in it."""
    ours = _noted(folder)
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith(PREFIX) and path.name not in ours
    ]


@contextlib.contextmanager
def written_together(folder: Path, instead_of: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield a folder to fill; its files are then put into `folder`, which never holds a mixture.

    They are whole before the first file of `folder` is touched. Then those before them go, and
    then they come. A run that is killed meanwhile has their names noted in `PARTIAL`: it may go on
    (see `output_folder`) until its owner removes that.

    Args:
        folder: exists.
        instead_of: names of files that go, whether there are new ones or not.

    Raises:
        StoreError: the disk refuses; while the files are made, `folder` is as it was.
    """
    with disk_errors(folder):
        (folder / PARTIAL).mkdir(exist_ok=True)
        beside = temporary_folder(folder / PARTIAL)
    try:
        with disk_errors(folder):
            yield beside
            made = sorted(path.name for path in beside.iterdir())
            noted = "\n".join(sorted({*made, *_noted(folder)}))
            atomic_write(
                folder / PARTIAL / _NAMES, lambda path: path.write_text(noted, encoding="utf-8")
            )
            for name in {*made, *instead_of}:
                (folder / name).unlink(missing_ok=True)
            for name in made:
                (beside / name).replace(folder / name)
    except StoreError as error:
        raise StoreError(str(error).replace(str(beside), str(folder))) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):  # where nothing else is kept
            (folder / PARTIAL).rmdir()


def _noted(folder: Path) -> set[str]:
    """Return the names of the files that an interrupted run may have put into a folder."""
    try:
        return set((folder / PARTIAL / _NAMES).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return set()
