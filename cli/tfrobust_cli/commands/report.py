"""`tfrobust report`: run folders → one page each, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfrobust_cli.console import start_tensorflow


def report(
    folder: Annotated[list[Path], typer.Argument(help="Run folders with a results.json.")],
) -> None:
    """Write report.html again from results.json and the outcomes.

    Example: [bold]tfrobust report runs/d1[/]
    """
    start_tensorflow()
    from tfrobust.report import write_report

    for run in folder:
        print(write_report(run))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report)
