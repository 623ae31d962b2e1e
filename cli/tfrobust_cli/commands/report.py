"""`tfrobust report`: run folders → pages, tables for papers and other tools, comparisons."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options.declared import Force


class Format(enum.StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "md"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"
    JUNIT = "junit"
    ROBUSTBENCH = "robustbench"


_Folders = Annotated[list[Path], typer.Argument(help="Run folders with a results.json.")]
_Format = Annotated[
    Format, typer.Option("--format", help="html writes pages, all others print one run.")
]
_Out = Annotated[
    Path | None,
    typer.Option(help="File to write; of two runs, the page that compares them."),
]


def report(
    folder: _Folders, kind: _Format = Format.HTML, out: _Out = None, force: Force = False
) -> None:
    """Write report.html again, compare two runs, or print one in another format.

    Two runs are compared image by image: what was gained, what was lost, and whether that is
    chance. The other formats are tables for Markdown and LaTeX (booktabs), tidy rows (csv, json),
    JUnit's results, and RobustBench's model_info.

    Example: [bold]tfrobust report runs/plain runs/robust --out comparison.html[/]
    """
    _check(folder, kind, out, force=force)
    start_tensorflow()
    if kind is not Format.HTML:
        _give(_formatted(folder[0], kind), out)
        return
    from tfrobust.report import write_report

    for run in folder:
        print(write_report(run))
    if len(folder) == 2:
        _compare(folder[0], folder[1], out)


def _check(folders: list[Path], kind: Format, out: Path | None, *, force: bool) -> None:
    """Refuse what would have no use, before anything is read.

    Raises:
        UsageError: naming it.
    """
    if kind is not Format.HTML and len(folders) > 1:
        raise UsageError(f"--format {kind}: expected one run; received: {len(folders)}")
    if kind is Format.HTML and out and len(folders) != 2:
        raise UsageError(
            "--out: with html, the page that compares two runs; received: "
            f"{len(folders)} run{'s' * (len(folders) != 1)} (a run's page is its report.html)"
        )
    if out and out.exists() and not force:
        raise UsageError(f"--out: {out} exists; give another file, or --force to replace it")
    if out and not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}; make it first")


def _formatted(folder: Path, kind: Format) -> str:
    if kind is Format.ROBUSTBENCH:
        from tfrobust.leaderboard import robustbench

        return robustbench(folder)
    from tfrobust.report.formats import FORMATS
    from tfrobust.results.run_files import read_results

    return FORMATS[kind.value](read_results(folder))


def _compare(first: Path, second: Path, out: Path | None) -> None:
    from tfrobust.report.comparison import compare, render_comparison
    from tfrobust_cli.tables.results import rich_table

    comparison = compare(first, second)
    stdout().print(rich_table(comparison.table, words=2))
    if out:
        _give(render_comparison(comparison), out)


def _give(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file and print its name."""
    if out is None:
        print(text, end="")
        return
    from tfrobust.files.atomic import atomic_write

    atomic_write(out, lambda beside: beside.write_text(text, encoding="utf-8"))
    print(out)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report)
