"""Runs the cells of a study that are not finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifiers.members import member_of
from tfrobust.data.names import open_scenario, parts_of
from tfrobust.engine.learning import remembering
from tfrobust.errors import UsageError
from tfrobust.evaluation.settings import Progress
from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import sweep
from tfrobust.model import ModelBuilder
from tfrobust.options import build
from tfrobust.pipeline.build import Deployed, train_and_store
from tfrobust.pipeline.reload import stored_network
from tfrobust.scenario import Scenario
from tfrobust.store.models import rooted
from tfrobust.study.cells.cell import Cell, cells_of, command
from tfrobust.study.cells.compute import attacks_of, compute
from tfrobust.study.cells.networks import built, lent, views_of
from tfrobust.study.cells.result_file import read_cell, write_cell
from tfrobust.study.results.lookup import Finished
from tfrobust.study.schema.study import Study
from tfrobust.training.trainer import Trainer, TrainingOptions


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
        out: trained networks are kept in `out/models`, and trained again where they are missing;
            what attacks learn in `out/learned`.
        results: where finished cells are kept.
        typed: the command that runs this, for the cells; none: what a user would type.
        progress: told how far training and attacks are.
        say: told what is being done.

    Returns:
        All results.

    Raises:
        UsageError: there is no such scale, or a plugin refuses its options.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
    """
    cells = cells_of(study, scale)
    todo = [cell for cell in cells if read_cell(cell, results) is None]
    _check_plugins(todo)
    made_by = typed or command(study, scale)
    school = School(out / "models", progress, say)
    # Defences that name a network mean the study's; cells that attack one share what was learned.
    with _occupied(out), rooted(out / "models"), remembering(out / "learned"):
        for number, cell in enumerate(todo):
            say(f"cell {number + 1} of {len(todo)}: {cell.title}")
            for each in cell.schooling:
                school.train(each)
            found = compute(cell, test_scenario(cell), out / "models", made_by, progress)
            write_cell(found, cell.file(results))
    return Finished(cells, results)


@contextlib.contextmanager
def _occupied(out: Path) -> Iterator[None]:
    """Let one run at a time train and learn in a folder."""
    busy = f"{out}: another run of a study is writing to it; wait until it is done, or choose --out"
    with contextlib.ExitStack() as held:
        with disk_errors(out):
            held.enter_context(made_folder(out))
            held.enter_context(alone(out / LOCK, busy))
        for folder in (out, out / "learned"):
            sweep(folder)
        yield


def training_scenario(cell: Cell) -> Scenario:
    """Return the data that a cell's network is trained on."""
    return _opened(cell.training["scenario"], cell.scenario_options(), cell.seed)


def test_scenario(cell: Cell) -> Scenario:
    """Return the data that a cell's network is tested on."""
    options = cell.scenario_options(cell.condition.scenario_options)
    return _opened(cell.tested_on, options, cell.seed)


def _opened(name: str, options: Mapping[str, dict[str, Any]], seed: int) -> Scenario:
    """Open one of a study's scenarios, which has options for each of them."""
    own = {each: options[each] for each in parts_of(name) if each in options}
    return open_scenario(name, own, seed=seed)


class School:
    """Trains networks into a store, each once, and goes on where one was interrupted.

    Args:
        models: the store.
        progress: told how far a training is.
        say: told what is being done.
    """

    def __init__(
        self,
        models: Path,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._models, self._progress, self._say = models, progress, say
        self._trained: set[str] = set()

    def train(self, cell: Cell) -> None:
        """Train a cell's network where it is missing; the one it is based on must be there."""
        if cell.model_name in self._trained:
            return
        training = cell.training
        train_and_store(
            self._beginning(cell),
            training_scenario(cell),
            cell.model_name,
            Trainer(
                build(TrainingOptions, "train", training["train"]),
                report=self._progress,
                say=self._say,
            ),
            built("defenses", cell.defenses),
            scenario_name=training["scenario"],
            resume=True,
            root=self._models,
            on_stage=self._say,
        )
        self._trained.add(cell.model_name)

    def _beginning(self, cell: Cell) -> ModelBuilder | Deployed:
        if cell.base is None:
            return cell.builder()
        name = cell.base.model_name  # which tells all that determines it, wherever the store lies
        network, member = stored_network(name, self._models), cell.network.member
        if member is None:
            return Deployed(name, network, known_as=name)
        called = f"{name}:{member}"
        return Deployed(called, member_of(network, member, name), known_as=called)


def _check_plugins(cells: Sequence[Cell]) -> None:
    """Build every plugin once: a mistake is to cost no training.

    Raises:
        UsageError: naming the cell and the mistake.
    """
    for cell in cells:
        try:
            for each in cell.schooling:
                _check_training(each)
            for view in cell.condition.views:
                if (lender := cell.lender(view)) is not None:
                    lent(lender)
            if cell.condition.surrogate:
                cell.builder(**cell.condition.surrogate)
            views_of(cell)
            attacks_of(cell)
            built("detectors", [cell.plugin(each) for each in cell.condition.detectors])
            test_scenario(cell)
        except UsageError as error:
            raise UsageError(f"{cell.title}: {error}") from error


def _check_training(cell: Cell) -> None:
    if cell.base is None:
        cell.builder()
    build(TrainingOptions, "train", cell.training["train"])
    built("defenses", cell.defenses)
    training_scenario(cell)
