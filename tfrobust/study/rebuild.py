"""Runs a study from its name to its report: what `tfrobust study run` does."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.evaluation.settings import Progress
from tfrobust.execution.executor import Executor
from tfrobust.study.cells.cell import Cell, cells_of
from tfrobust.study.cells.given import apply_given
from tfrobust.study.cells.places import Given
from tfrobust.study.cells.run import run_cells
from tfrobust.study.results.claims import Claimed, check_claims
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.report import write_study
from tfrobust.study.schema.files import find_study, results_folder
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Which study is run, and how large.

    Attributes:
        study: the name of a study, or a `.toml` file.
        scale: one of its scales.
        results: the folder where finished cells are kept; none: `results` beside the study.
        only: the names of the cells that are computed; none: all.
        stale: compute finished cells of other or unknown code again.
        options: scenario → its options, in addition to the study's; see `apply_given`.
        weights: `NETWORK=FILE`, or a file of the name that the study declares.
    """

    study: str
    scale: str
    results: Path | None = None
    only: tuple[str, ...] = ()
    stale: bool = False
    options: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    weights: tuple[str, ...] = ()

    def command(self, out: Path, given: Given | None = None) -> str:
        """Return the command that computes the same figures.

        Args:
            out: the folder of the run.
            given: where data and weights lie; that is left out, for it is no matter elsewhere.

        Example:
            >>> StudySettings(study="retraining", scale="smoke").command(Path("runs/study"))
            'tfrobust study run retraining --scale smoke --out runs/study'
        """
        words = ["study", "run", self.study, "--scale", self.scale, "--out", str(out)]
        words += ["--results", str(self.results)] if self.results else []
        places = given.places if given else {}
        for scenario, options in self.options.items():
            for name, value in options.items():
                if name not in places.get(scenario, {}):
                    words += ["-p", f"{scenario}.{name}={value}"]
        return shlex.join(["tfrobust", *words])


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """A study that was run.

    Attributes:
        study: what its file says.
        lookup: its results.
        claims: the paper's claims, checked.
        report: the page, `report.html`.
    """

    study: Study
    lookup: Lookup
    claims: list[Claimed]
    report: Path


def run(
    settings: StudySettings,
    out: Path,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
    executor: Executor | None = None,
) -> StudyRun:
    """Compute what is not finished, and write `report.md` and `report.html`.

    Finished cells are never computed twice: the same call resumes after an interruption. The
    report is written into `out` and beside the results.

    Args:
        settings: the study and its scale.
        out: for the report and the networks that are trained; see `run_study`.
        progress: called with how far training and attacks are.
        log: called with a line about what is being done.
        executor: trains and measures; `None`: this process.

    Raises:
        UsageError: there is no such study or scale, or a plugin refuses its options.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.

    Example:
        >>> done = run(StudySettings(study="retraining", scale="smoke"), Path("runs/study"))
        >>> [claim.holds for claim in done.claims]
    """
    study, path = find_study(settings.study)
    results = settings.results or results_folder(path)
    study, given = apply_given(study, settings.scale, settings.options, settings.weights)
    lookup = run_study(
        study,
        settings.scale,
        out,
        results,
        command=settings.command(out, given),
        given=given,
        only=settings.only,
        stale=settings.stale,
        progress=progress,
        log=log,
        executor=executor,
    )
    write_study(study, settings.scale, lookup, out, results / study.name / settings.scale)
    return StudyRun(study, lookup, check_claims(study, lookup), out / "report.html")


def run_study(
    study: Study,
    scale: str,
    out: Path,
    results: Path,
    *,
    command: str | None = None,
    given: Given | None = None,
    only: Sequence[str] = (),
    stale: bool = False,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
    executor: Executor | None = None,
) -> Lookup:
    """Compute every cell of a study that is not finished, and write no report.

    Args:
        study: from `find_study`.
        scale: one of its scales.
        out: trained networks are kept in `out/models`, and trained again where they are missing;
            what attacks learn is kept in `out/learned`.
        results: the folder where finished cells are kept.
        command: the command that runs this, which is recorded in the cells; none: the one that a
            user would type.
        given: where data and weights lie.
        only: the names of the cells that are computed; none: all.
        stale: compute finished cells of other or unknown code again.
        progress: called with how far training and attacks are.
        log: called with a line about what is being done.
        executor: trains and measures; `None`: this process.

    Returns:
        All results.

    Raises:
        UsageError: there is no such scale or cell, a plugin refuses its options, or data or weights
            are missing.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
    """
    cells = cells_of(study, scale, given)
    run_cells(
        _chosen(cells, only),
        out,
        results,
        command or study.command(scale),
        progress=progress,
        log=log,
        executor=executor,
        stale=stale,
    )
    return Lookup(cells, results)


def _chosen(cells: list[Cell], only: Sequence[str]) -> list[Cell]:
    """Return the cells of these names; all, if there are none."""
    by_name = {cell.name: cell for cell in cells}
    for name in only:
        if name not in by_name:
            first = cells[0]
            raise UsageError(
                f"study {first.study.name} has no cell {name!r} at scale {first.scale_name}"
                f"{did_you_mean(name, by_name)} (NETWORK-CONDITION-sSEED, such as {first.name})"
            )
    return [cell for name, cell in by_name.items() if not only or name in only]
