"""New version folders of a stored model: no two processes make the same one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import OccupiedError, alone, made_folder
from tfrobust.files.leftovers import PREFIX
from tfrobust.store.models import next_version


@contextlib.contextmanager
def claimed_version(folder: Path, number: int | None = None) -> Iterator[Path]:
    """Yield the version folder to make in `folder`; nobody else makes it meanwhile.

    Args:
        folder: of the versions.
        number: of the version; none: the one after the newest, and after those that other
            processes are making.

    Raises:
        OccupiedError: another process is making this number.
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
    """Remove the files of claims that killed processes held: who takes one can remove it."""
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
    return asked_for or not place.exists()  # it may have been finished since the newest was asked
