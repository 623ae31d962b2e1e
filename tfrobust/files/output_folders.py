"""The folder that a run writes its results to: claimed by one run, and never a mixture of two."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tfrobust.errors import StoreError
from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import PREFIX, sweep, temporary_folder

PARTIAL = ".tfrobust-partial"  # what an interrupted evaluation leaves in its folder
_NAMES = "written"  # in it: the files of the run, noted before the first of them is in place


@contextlib.contextmanager
def output_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield `path` as a folder that one run, and no other meanwhile, may write its results to.

    A folder that was made for them is taken away again if nothing came of it. What an interrupted
    run left in it may stay, files that it had finished too: the same run goes on from there.

    Raises:
        StoreError: it is a file, holds other things (and `force` is off), cannot be made, or
            another process is writing to it.
    """
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path}: expected a folder; received: a file")
    busy = f"{path}: another run is writing to it; wait until it is done, or choose another --out"
    with contextlib.ExitStack() as held:
        with disk_errors(path):
            held.enter_context(made_folder(path))
            held.enter_context(alone(path / LOCK, busy))
        sweep(path)
        if _others(path) and not force:
            raise StoreError(
                f"{path}: is not empty; choose another --out, or overwrite with --force"
            )
        yield path


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
