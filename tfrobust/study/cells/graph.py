"""The trainings and cells of a study as one graph: what does not depend runs at the same time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from tfrobust.engine.learning import remembering
from tfrobust.evaluation.settings import Progress
from tfrobust.execution.graph import Graph
from tfrobust.store.layout import rooted
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.compute import compute
from tfrobust.study.cells.result_file import Result
from tfrobust.study.cells.stamps import revision_here, stamp_training
from tfrobust.study.cells.trainings import Trainings, test_scenario


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A training of a study, or the measuring of a cell.

    Attributes:
        cell: which, or any cell of the network that is trained.
        trains: whether the cell's network is trained here.
        number: of the cell among those to do, from 1; 0: a training.
    """

    cell: Cell
    trains: bool
    number: int = 0

    def __str__(self) -> str:
        """Return its name in messages."""
        return f"training {self.cell.network.title}" if self.trains else self.cell.title

    @property
    def timed(self) -> bool:
        """Whether times are measured, which others that compute meanwhile would lengthen."""
        return not self.trains and self.cell.condition.footprint


def steps_of(cells: Sequence[Cell]) -> Graph[Step]:
    """Return what must be done for these cells, in the order in which one process does it.

    A network is trained before the first cell that needs it, once for all of them.
    """
    return Graph(_needs(cells))


def shared_and_timed(cells: Sequence[Cell]) -> tuple[Graph[Step], Graph[Step]]:
    """Return what several workers may do at the same time, and the cells that measure times.

    The second graph needs trainings of the first: call its `finish` for them too.
    """
    needs = _needs(cells)
    shared = {step: needed for step, needed in needs.items() if not step.timed}
    timed = {step: needed for step, needed in needs.items() if step.timed}
    return Graph(shared), Graph(timed)


def _needs(cells: Sequence[Cell]) -> dict[Step, list[Step]]:
    """Return each step with the trainings that it needs, which stand before it."""
    trainings: dict[str, Step] = {}  # by the network's name in the store
    needs: dict[Step, list[Step]] = {}
    for number, cell in enumerate(cells, start=1):
        for network in cell.networks_to_train:
            if network.model_name not in trainings:
                training = Step(network, trains=True)
                needs[training] = [trainings[n.model_name] for n in network.training_order[:-1]]
                trainings[network.model_name] = training
        needed = [trainings[network.model_name] for network in cell.networks_to_train]
        needs[Step(cell, trains=False, number=number)] = needed
    return needs


@dataclasses.dataclass(frozen=True)
class StudyJob:
    """Trains and measures; see `tfrobust.execution.executor.Job`.

    Attributes:
        out: trained networks are kept in `out/models`; what attacks learn, in `out/learned`.
        command: which is recorded in the cells.
        progress: called with how far training and attacks are, in this process.
        log: called with a line about what is being done, in this process.
        cells: how many are measured, for the log.
    """

    out: Path
    command: str
    progress: Progress | None = None
    log: Callable[[str], None] | None = None
    cells: int = 0

    def start(self) -> Callable[[Step], Result | None]:
        """Return what does a step: a cell's result, or nothing of a training."""
        models = self.out / "models"
        trainings = Trainings(models, self.progress, self.log or print)

        def done(step: Step) -> Result | None:
            # Defences that name a network mean the study's; what was learned is shared by cells.
            with rooted(models), remembering(self.out / "learned"):
                if step.trains:
                    stamp_training(step.cell, self.out)
                    trainings.train(step.cell)
                    return None
                if self.log:
                    self.log(f"cell {step.number} of {self.cells}: {step}")
                scenario = test_scenario(step.cell)
                revision = revision_here(step.cell, self.out)
                return compute(
                    step.cell,
                    scenario,
                    models,
                    self.command,
                    progress=self.progress,
                    revision=revision,
                )

        return done

    def packed(self, _: object) -> StudyJob:
        """Return the job for another process, where nobody watches the progress."""
        return StudyJob(self.out.absolute(), self.command)
