"""Runs the cells of a study that are not finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tfrobust.errors import IncompleteError, UsageError
from tfrobust.evaluation.settings import Progress
from tfrobust.execution.executor import Executor, Failed, InProcess
from tfrobust.execution.graph import Graph
from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import sweep
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.compute import attacks_of
from tfrobust.study.cells.graph import Step, StudyJob, shared_and_timed, steps_of
from tfrobust.study.cells.networks import built, donated_defense, views_of
from tfrobust.study.cells.result_file import Result, read_cell, write_cell
from tfrobust.study.cells.trainings import check_training, test_scenario


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    results: Path,
    command: str,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
    executor: Executor | None = None,
) -> None:
    """Compute every cell that is not finished; each result is kept as soon as it is there.

    Trainings and cells that do not need one another are done at the same time where the executor
    has several workers. Cells that measure times (`priced`) are measured by this process, after all
    others.

    Args:
        cells: of one study.
        out: trained networks are kept in `out/models`, and trained again where they are missing;
            what attacks learn is kept in `out/learned`.
        results: the folder of results.
        command: the command that runs this, which is recorded in the cells.
        progress: called with how far training and attacks are.
        log: called with a line about what is being done.
        executor: trains and measures; `None`: this process.

    Raises:
        UsageError: a plugin refuses its options.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
        IncompleteError: some cells could not be computed; all others are finished.
    """
    todo = [cell for cell in cells if read_cell(cell, results) is None]
    _check_plugins(todo)
    job = StudyJob(out, command, progress, log, cells=len(todo))
    graphs = shared_and_timed(todo) if executor else (steps_of(todo),)
    total, failed = sum(map(len, graphs)), list[str]()
    with _one_run_at_a_time(out):
        for done, (step, result) in enumerate(_results(job, graphs, executor), start=1):
            if isinstance(result, Failed):
                failed.append(f"{step}: {result.cause}")
                continue
            for graph in graphs:
                graph.finish(step)
            if result is not None:
                write_cell(result, step.cell.file(results))
            if executor:
                log(f"{done} of {total}: {step}")
                if progress:
                    progress("trainings and cells", done, total)
    if failed:
        missing = len(failed) + sum(len(graph.unreached) for graph in graphs)
        raise IncompleteError(
            f"{missing} of {total} trainings and cells could not be computed "
            f"({'; '.join(failed)}); the same command tries them again"
        )


def _results(
    job: StudyJob, graphs: Sequence[Graph[Step]], executor: Executor | None
) -> Iterator[tuple[Step, Result | Failed | None]]:
    """Yield steps with their results: of the first graph from the executor, the rest from here."""
    for graph, computer in zip(graphs, (executor or InProcess(), InProcess()), strict=False):
        yield from computer.map(job, graph)


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
