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
from tfrobust.study.cells.missing import missing
from tfrobust.study.cells.networks import built, donated_defense, views_of
from tfrobust.study.cells.result_file import Result, read_cell, write_cell
from tfrobust.study.cells.revision import current_revision
from tfrobust.study.cells.stamps import discard_outdated
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
    stale: bool = False,
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
        stale: compute finished cells of other or unknown code again, and train their networks
            again where other or unknown code trained them.

    Raises:
        UsageError: a plugin refuses its options, or data or weights are missing.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
        IncompleteError: some cells could not be computed; all others are finished.
    """
    todo, outdated = _to_compute(cells, results, stale=stale)
    _check_plugins(todo)
    _check_there(todo, log)
    job = StudyJob(out, command, progress, log, cells=len(todo))
    graphs = shared_and_timed(todo) if executor else (steps_of(todo),)
    total, failed = sum(map(len, graphs)), list[str]()
    with _one_run_at_a_time(out):
        for name in discard_outdated(outdated, out) if outdated else ():
            log(f"{name}: trained by other code; it is trained again")
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


def _to_compute(
    cells: Sequence[Cell], results: Path, *, stale: bool
) -> tuple[list[Cell], list[Cell]]:
    """Return the cells that are computed, and those of them that other or unknown code finished."""
    todo, outdated = [], []
    for cell in cells:
        result = read_cell(cell, results)
        if result is None:
            todo.append(cell)
        elif stale and result.revision != current_revision(cell):
            todo.append(cell)
            outdated.append(cell)
    return todo, outdated


def _check_there(cells: Sequence[Cell], log: Callable[[str], None]) -> None:
    """Refuse to begin without the data and the weights that are needed to end.

    Raises:
        UsageError: something is missing; each thing is logged, with what to fetch.
    """
    lines = missing(cells)
    for line in lines:
        log(f"missing: {line}")
    if lines:
        study, scale, count = cells[0].study.name, cells[0].scale_name, len(lines)
        named = lines[0] if count == 1 else f"{count} things are missing, see above"
        raise UsageError(f"{study} cannot run at scale {scale}: {named}")


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
