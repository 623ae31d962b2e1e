"""Runs the cells of a study that are not finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tfrobust.engine.learning import remembering
from tfrobust.errors import UsageError
from tfrobust.evaluation.settings import Progress
from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import sweep
from tfrobust.store.layout import rooted
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.compute import attacks_of, compute
from tfrobust.study.cells.networks import built, donated_defense, views_of
from tfrobust.study.cells.result_file import read_cell, write_cell
from tfrobust.study.cells.trainings import Trainings, check_training, test_scenario


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    results: Path,
    command: str,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Compute every cell that is not finished; each result is kept as soon as it is there.

    Args:
        cells: of one study.
        out: trained networks are kept in `out/models`, and trained again where they are missing;
            what attacks learn is kept in `out/learned`.
        results: the folder of results.
        command: the command that runs this, which is recorded in the cells.
        progress: called with how far training and attacks are.
        log: called with a line about what is being done.

    Raises:
        UsageError: a plugin refuses its options.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
    """
    todo = [cell for cell in cells if read_cell(cell, results) is None]
    _check_plugins(todo)
    trainings = Trainings(out / "models", progress, log)
    # Defences that name a network mean the study's; cells that attack one share what was learned.
    with _one_run_at_a_time(out), rooted(out / "models"), remembering(out / "learned"):
        for number, cell in enumerate(todo):
            log(f"cell {number + 1} of {len(todo)}: {cell.title}")
            for network in cell.networks_to_train:
                trainings.train(network)
            result = compute(cell, test_scenario(cell), out / "models", command, progress)
            write_cell(result, cell.file(results))


def _check_plugins(cells: Sequence[Cell]) -> None:
    """Build every plugin once: a mistake must show before the first training.

    Raises:
        UsageError: naming the cell and the mistake.
    """
    for cell in cells:
        try:
            for network in cell.networks_to_train:
                check_training(network)
            for view in cell.condition.views:
                if (donor := cell.donor(view)) is not None:
                    donated_defense(donor)
            if cell.condition.surrogate:
                cell.builder(**cell.condition.surrogate)
            views_of(cell)
            attacks_of(cell)
            built("detectors", [cell.plugin(plugin) for plugin in cell.condition.detectors])
            test_scenario(cell)
        except UsageError as error:
            raise UsageError(f"{cell.title}: {error}") from error


@contextlib.contextmanager
def _one_run_at_a_time(out: Path) -> Iterator[None]:
    """Refuse a second run that would train and learn in the same folder."""
    busy = f"{out}: another run of a study is writing to it; wait until it is done, or choose --out"
    with contextlib.ExitStack() as held:
        with disk_errors(out):
            held.enter_context(made_folder(out))
            held.enter_context(alone(out / LOCK, busy))
        for folder in (out, out / "learned"):
            sweep(folder)
        yield
