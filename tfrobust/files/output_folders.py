"""The folder that a run writes its results to: claimed by one run, never a mixture of two."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tfrobust.errors import StoreError
from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import PREFIX, remove_folder, sweep, temporary_folder

ANSWERS = "queries.sqlite"  # what endpoints have answered, for this run and later ones
PARTIAL = ".tfrobust-partial"  # what an interrupted evaluation leaves in its folder
_NAMES = "written"  # in it: the files of the run, noted before the first of them is in place


@contextlib.contextmanager
def output_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield `path` as a folder that only one run at a time may write its results to.

    A folder that was created for them is removed again if it stays empty. What an interrupted run
    left in it, finished files too, may stay: the same run goes on from there.

    Raises:
        StoreError: it is a file, holds other things (and `force` is off), cannot be created, or
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
    """Return what is in a folder and does not come from the run that was interrupted in it."""
    noted = _noted(folder)
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith((PREFIX, ANSWERS)) and path.name not in noted
    ]


@contextlib.contextmanager
def written_together(folder: Path, instead_of: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield a folder to fill; what is in it is then put into `folder`, never as a mixture.

    Files and folders are complete before the first file of `folder` is touched. Then the former
    ones are removed, and the new ones moved in. Their names are noted in `PARTIAL`, so that a run
    which is killed meanwhile can be resumed (see `output_folder`) until its owner removes that.

    Args:
        folder: exists.
        instead_of: names of files and folders that are removed, whether there are new ones or not.

    Raises:
        StoreError: the disk refuses; until the new files are complete, `folder` is as it was.
    """
    with disk_errors(folder):
        (folder / PARTIAL).mkdir(exist_ok=True)
        temporary = temporary_folder(folder / PARTIAL)
    try:
        with disk_errors(folder):
            yield temporary
            names = sorted(path.name for path in temporary.iterdir())
            noted = "\n".join(sorted({*names, *_noted(folder)}))
            atomic_write(
                folder / PARTIAL / _NAMES, lambda path: path.write_text(noted, encoding="utf-8")
            )
            for name in {*names, *instead_of}:
                _remove(folder / name)
            for name in names:
                (temporary / name).replace(folder / name)
    except StoreError as error:
        raise StoreError(str(error).replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):  # where nothing else is in it
            (folder / PARTIAL).rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def _noted(folder: Path) -> set[str]:
    """Return the names of the files that an interrupted run may have put into a folder."""
    try:
        return set((folder / PARTIAL / _NAMES).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return set()
