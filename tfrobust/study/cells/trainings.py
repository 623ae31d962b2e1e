"""The trainings that cells need: which data, from what they start, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfrobust.classifiers.members import member_of
from tfrobust.data.names import open_scenario, parts_of
from tfrobust.evaluation.settings import Progress
from tfrobust.model import ModelBuilder
from tfrobust.options import build
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.plans import TrainingPlan
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import run_training
from tfrobust.scenario import Scenario
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.networks import built
from tfrobust.training.trainer import Trainer, TrainingOptions


class Trainings:
    """Trains networks into a store, each once, and resumes a training that was interrupted.

    Args:
        models: the store.
        progress: called with how far a training is.
        log: called with a line about what is being done.
    """

    def __init__(
        self,
        models: Path,
        progress: Progress | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._models, self._progress, self._log = models, progress, log
        self._trained: set[str] = set()

    def train(self, cell: Cell) -> None:
        """Train a cell's network where it is missing; the one it is based on must be there."""
        if cell.model_name in self._trained:
            return
        training = cell.training
        options = build(TrainingOptions, "train", training["train"])
        plan = TrainingPlan(
            self._beginning(cell),
            training_scenario(cell),
            built("defenses", cell.defenses),
            scenario_name=training["scenario"],
        )
        trainer = Trainer(options, report=self._progress, log=self._log)
        run_training(plan, cell.model_name, trainer, resume=True, root=self._models)
        self._trained.add(cell.model_name)

    def _beginning(self, cell: Cell) -> ModelBuilder | Deployed:
        """Return what the training starts from: an architecture, or the base or its member."""
        if cell.base is None:
            return cell.builder()
        name = cell.base.model_name  # a hash of its training, so that the store's path is no matter
        network, member = stored_network(name, self._models), cell.network.member
        if member is None:
            return Deployed(name, network, known_as=name)
        member_name = f"{name}:{member}"
        return Deployed(member_name, member_of(network, member, name), known_as=member_name)


def check_training(cell: Cell) -> None:
    """Build all plugins of a cell's training.

    Raises:
        UsageError: one of them refuses its options, or there is none of its name.
    """
    if cell.base is None:
        cell.builder()
    build(TrainingOptions, "train", cell.training["train"])
    built("defenses", cell.defenses)
    training_scenario(cell)


def training_scenario(cell: Cell) -> Scenario:
    """Return the data that a cell's network is trained on."""
    return _opened(cell, cell.training["scenario"], cell.scenario_options())


def test_scenario(cell: Cell) -> Scenario:
    """Return the data that a cell's network is tested on."""
    options = cell.scenario_options(cell.condition.scenario_options)
    return _opened(cell, cell.tested_on, options)


def _opened(cell: Cell, name: str, options: Mapping[str, dict[str, Any]]) -> Scenario:
    """Open a scenario with those of the study's options that belong to it, and where it lies."""
    own = {part: options[part] for part in parts_of(name) if part in options}
    for part in parts_of(name):
        if place := cell.given.places.get(part):
            own[part] = {**own.get(part, {}), **place}
    return open_scenario(name, own, seed=cell.seed)
