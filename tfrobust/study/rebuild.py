"""Runs a study from its name to its report: what `tfrobust study run` does."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path

from tfrobust.evaluation.settings import Progress
from tfrobust.execution.executor import Executor
from tfrobust.study.cells.cell import cells_of, default_command
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
    """

    study: str
    scale: str
    results: Path | None = None

    def command(self, out: Path) -> str:
        """Return the command that does the same.

        Example:
            >>> StudySettings(study="retraining", scale="smoke").command(Path("runs/study"))
            'tfrobust study run retraining --scale smoke --out runs/study'
        """
        words = ["study", "run", self.study, "--scale", self.scale, "--out", str(out)]
        words += ["--results", str(self.results)] if self.results else []
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
    lookup = run_study(
        study,
        settings.scale,
        out,
        results,
        command=settings.command(out),
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
        progress: called with how far training and attacks are.
        log: called with a line about what is being done.
        executor: trains and measures; `None`: this process.

    Returns:
        All results.

    Raises:
        UsageError: there is no such scale, or a plugin refuses its options.
        StoreError: the disk refuses, a finished cell is damaged, or another process runs a study
            with the same `out`.
    """
    cells = cells_of(study, scale)
    command = command or default_command(study, scale)
    run_cells(cells, out, results, command, progress=progress, log=log, executor=executor)
    return Lookup(cells, results)
