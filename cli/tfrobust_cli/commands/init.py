"""`tfrobust init`: a starter project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an empty one.")],
) -> None:
    """Write a starter project: an experiment, an attack with its test, a CI workflow.

    Example: [bold]tfrobust init mine && cd mine && tfrobust run experiment.toml[/]
    """
    from tfrobust.experiment.starter import write_starter

    for file in write_starter(folder):
        print(folder / file)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("init")(init)
