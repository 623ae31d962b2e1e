"""Which code trained a network: a small file beside the store, written when a training begins.

A training that other code resumes keeps its stamp: what came of it is of neither.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.reading import UnreadableError, read_bytes
from tfrobust.store.layout import home_of
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.revision import revision_of, training_revision

_LARGEST = 1000  # bytes
_UNKNOWN = "unknown"


def stamp_training(cell: Cell, out: Path) -> None:
    """Note that the present code trains a cell's network, unless it has been begun before.

    Raises:
        StoreError: the disk refuses.
    """
    if home_of(cell.model_name, out / "models").exists():
        return
    text = training_revision(cell) + "\n"
    atomic_write(_stamp(cell, out), lambda path: path.write_text(text, encoding="utf-8"))


def revision_here(cell: Cell, out: Path) -> str:
    """Return the revision of a cell that is measured now, with the networks that lie in `out`."""
    return revision_of(cell, [_stamped(network, out) for network in cell.networks_to_train])


def discard_outdated(cells: Iterable[Cell], out: Path) -> list[str]:
    """Remove the networks of cells that other or unknown code trained; return their names.

    What attacks have learned is removed too: it does not tell which code it is from.

    Args:
        cells: that are to be computed again.
        out: the folder of the run.

    Raises:
        StoreError: the disk refuses.
    """
    removed = []
    with disk_errors(out):
        shutil.rmtree(out / "learned", ignore_errors=True)
        for network in (network for cell in cells for network in cell.networks_to_train):
            home = home_of(network.model_name, out / "models")
            if home.exists() and _stamped(network, out) != training_revision(network):
                shutil.rmtree(home)
                removed.append(network.model_name)
    return removed


def _stamped(cell: Cell, out: Path) -> str:
    """Return the revision that began a network's training."""
    with contextlib.suppress(OSError, UnreadableError):
        return read_bytes(_stamp(cell, out), _LARGEST).decode("utf-8", "replace").strip()
    return _UNKNOWN


def _stamp(cell: Cell, out: Path) -> Path:
    return out / "revisions" / f"{cell.model_name}.txt"
