"""Runs the cells of a study that are not finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.options import build
from tfrobust.pipeline import train_and_store
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.scenes import open_scenario
from tfrobust.study.cells import Cell, cells_of, command, read_cell, write_cell
from tfrobust.study.compute import attacks_of, built, compute, views_of
from tfrobust.study.declared import Study
from tfrobust.study.finished import Finished
from tfrobust.training import Trainer, TrainingOptions
from tfrobust.verdicts import Progress


def run_study(
    study: Study,
    scale: str,
    out: Path,
    results: Path,
    *,
    typed: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Finished:
    """Compute every cell that is not finished; each is kept as soon as it is.

    Args:
        study: from `find_study`.
        scale: one of its scales.
        out: trained networks are kept in `out/models`, and trained again where they are missing.
        results: where finished cells are kept.
        typed: the command that runs this, for the cells; none: what a user would type.
        progress: told how far training and attacks are.
        say: told what is being done.

    Returns:
        All results.

    Raises:
        UsageError: there is no such scale, or a plugin refuses its options.
        StoreError: the disk refuses, or a finished cell is damaged.
    """
    cells = cells_of(study, scale)
    todo = [cell for cell in cells if read_cell(cell, results) is None]
    _check_plugins(todo)
    made_by = typed or command(study, scale)
    trained: set[str] = set()
    for number, cell in enumerate(todo):
        say(f"cell {number + 1} of {len(todo)}: {cell.title}")
        scenario = scenario_of(cell)
        if cell.model_name not in trained:
            train_network(cell, scenario, out / "models", progress, say)
            trained.add(cell.model_name)
        found = compute(cell, scenario, out / "models", made_by, progress)
        write_cell(found, cell.file(results))
    return Finished(cells, results)


def scenario_of(cell: Cell) -> Scenario:
    """Return the data of a cell."""
    return open_scenario(cell.scale.scenario, cell.scale.scenario_options, seed=cell.seed)


def train_network(
    cell: Cell,
    scenario: Scenario,
    models: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Train a cell's network into a store, or train on, where it is missing."""
    training = cell.training
    train_and_store(
        create("models", training["model"], **training["options"]),
        scenario,
        cell.model_name,
        Trainer(build(TrainingOptions, "train", training["train"]), report=progress),
        built("defenses", [cell.plugin(each) for each in cell.network.defenses]),
        scenario_name=cell.scale.scenario,
        resume=True,
        root=models,
        on_stage=say,
    )


def _check_plugins(cells: Sequence[Cell]) -> None:
    """Build every plugin once: a mistake is to cost no training.

    Raises:
        UsageError: naming the cell and the mistake.
    """
    for cell in cells:
        try:
            training = cell.training
            create("models", training["model"], **training["options"], **cell.condition.surrogate)
            build(TrainingOptions, "train", training["train"])
            built("defenses", [cell.plugin(each) for each in cell.network.defenses])
            views_of(cell)
            attacks_of(cell)
            built("detectors", [cell.plugin(each) for each in cell.condition.detectors])
            scenario_of(cell)
        except UsageError as error:
            raise UsageError(f"{cell.title}: {error}") from error
