"""`tfrobust check`: a gate for continuous integration."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.errors import GateError
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options.declared import Json
from tfrobust_cli.tables.results import rich_table

if TYPE_CHECKING:
    from tfrobust.report.gate import Checked

_Run = Annotated[Path, typer.Argument(help="Run folder with a results.json.")]
_Min = Annotated[
    list[str] | None,
    typer.Option(
        "--min",
        help="Condition on every classifier: 'accuracy@linf=0.1 >= 0.4', 'clean >= 0.9', "
        "'pgd@linf=0.1 >= 0.4' or 'certified@l2=0.25 >= 0.3'; repeat.",
    ),
]
_Confident = Annotated[bool, typer.Option("--confident", help="Ask it of the whole 95 % interval.")]
_MaxDrop = Annotated[
    tuple[Path, float] | None,
    typer.Option(
        "--max-drop-from",
        help="An earlier run on the same images, and the largest drop of any accuracy (0.02).",
        metavar="RUN SHARE",
    ),
]
_NoMasking = Annotated[
    bool, typer.Option("--no-masking", help="Fail where gradients are found masked.")
]
_Diagnosis = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of `diagnose`, for --no-masking; repeat."),
]
_Junit = Annotated[Path | None, typer.Option(help="File to write JUnit's results to.")]
_Summary = Annotated[
    Path | None,
    typer.Option(help="File to append a Markdown table to, such as $GITHUB_STEP_SUMMARY."),
]


def check(
    run: _Run,
    minimum: _Min = None,
    confident: _Confident = False,
    max_drop: _MaxDrop = None,
    no_masking: _NoMasking = False,
    diagnosis: _Diagnosis = None,
    junit: _Junit = None,
    summary: _Summary = None,
    as_json: Json = False,
) -> None:
    """Check that a run holds what is asked of it; exit with 5 where it does not.

    Example: [bold]tfrobust check runs/d1 --min "accuracy@linf=0.1 >= 0.4" --no-masking[/]
    """
    start_tensorflow()
    from tfrobust.report.conditions import read_condition
    from tfrobust.report.gate import Gate
    from tfrobust.results.diagnosis import read_diagnosis

    baseline, most = max_drop or (None, 0.0)
    gate = Gate(
        conditions=[read_condition(text) for text in minimum or []],
        confident=confident,
        baseline=baseline,
        max_drop=most,
        no_masking=no_masking,
        diagnoses=[read_diagnosis(folder) for folder in diagnosis or []],
    )
    checked = gate.check(run)
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in checked], indent=1))
    else:
        _print(run, checked)
    _write(run, checked, junit, summary)
    failed = [one for one in checked if not one.holds]
    if failed:
        first = failed[0]
        raise GateError(
            f"{len(failed)} of {len(checked)} checks do not hold; {first.classifier}: "
            f"{first.asked}: {first.found}"
        )


def _print(run: Path, checked: list[Checked]) -> None:
    from tfrobust.report.gate import table_of

    stdout().print(rich_table(table_of(run, checked), words=4))


def _write(run: Path, checked: list[Checked], junit: Path | None, summary: Path | None) -> None:
    """Write what was checked where that was asked for."""
    from tfrobust.files.atomic import atomic_write
    from tfrobust.report.formats import markdown_table
    from tfrobust.report.gate import junit_of, table_of

    if junit:
        text = junit_of(run, checked)
        atomic_write(junit, lambda beside: beside.write_text(text, encoding="utf-8"))
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(f"{markdown_table(table_of(run, checked))}\n")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("check")(check)
