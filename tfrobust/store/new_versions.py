"""New version folders of a stored model: no two processes write the same one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import OccupiedError, alone, made_folder
from tfrobust.files.leftovers import PREFIX
from tfrobust.store.layout import next_version


@contextlib.contextmanager
def claimed_version(folder: Path, number: int | None = None) -> Iterator[Path]:
    """Yield the next version folder in `folder`; no other process writes it meanwhile.

    Args:
        folder: of the versions.
        number: of the version; `None`: the one after the newest, and after those that other
            processes are writing.

    Raises:
        OccupiedError: another process is writing this version.
        StoreError: the disk refuses.

    Example:
        >>> with claimed_version(Path("served/digits")) as place:
        ...     export(classifier, place)
    """
    with contextlib.ExitStack() as held:
        with disk_errors(folder):
            held.enter_context(made_folder(folder))
            _sweep_claims(folder)
            wanted = int(next_version(folder).name) if number is None else number
            while not _claimed(folder, wanted, held, asked_for=number is not None):
                wanted += 1
        yield folder / str(wanted)


def _sweep_claims(folder: Path) -> None:
    """Remove the files of claims that killed processes held: their locks are free."""
    for lock in folder.glob(f"{PREFIX}*.lock"):
        with contextlib.suppress(OccupiedError, OSError), alone(lock, ""):
            pass


def _claimed(folder: Path, number: int, held: contextlib.ExitStack, *, asked_for: bool) -> bool:
    place = folder / str(number)
    refusal = f"{place}: another process is writing it; choose another version"
    try:
        held.enter_context(alone(folder / f"{PREFIX}{number}.lock", refusal))
    except OccupiedError:
        if asked_for:
            raise
        return False
    return asked_for or not place.exists()  # another process may have finished it since
