"""`tfrobust doctor`: what works here."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer

from tfrobust.errors import printable
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options.declared import Json

if TYPE_CHECKING:
    from rich.table import Table

    from tfrobust.doctor import Diagnosis


def doctor(as_json: Json = False) -> None:
    """Report versions, packages, devices, plugins and data; exit with 1 if something is broken.

    Example: [bold]tfrobust doctor[/]
    """
    start_tensorflow()
    from tfrobust.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print(
            json.dumps({**dataclasses.asdict(diagnosis), "remedies": diagnosis.remedies}, indent=1)
        )
    else:
        _print(diagnosis)
    if diagnosis.broken:
        raise typer.Exit(1)


def _print(diagnosis: Diagnosis) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False)
    for name, version in diagnosis.versions.items():
        table.add_row(name, version)
    table.add_row("devices", ", ".join(diagnosis.devices))
    table.add_row(
        "tf.keras",
        "Keras 2 (tf_keras)"
        if diagnosis.keras_2
        else "[red]Keras 3: plugins built on Keras 2 need TF_USE_LEGACY_KERAS=1[/]",
    )
    table.add_row("packages", f"{diagnosis.packages.needed} needed")
    _add_broken(table, diagnosis.packages.broken)
    table.add_row("plugins", f"{diagnosis.plugins.working} work")
    _add_broken(table, diagnosis.plugins.broken)
    for line in diagnosis.plugins.unavailable:
        table.add_row("[yellow]unavailable[/]", escape(printable(line)))
    table.add_row("studies", _list(diagnosis.studies.installed))
    _add_broken(table, diagnosis.studies.broken)
    table.add_row("data", f"{diagnosis.data.folder}: {_list(diagnosis.data.prepared)}")
    table.add_row("store", f"{diagnosis.store.folder}: {_list(diagnosis.store.classifiers)}")
    table.add_row("security", diagnosis.security)
    console = stdout()
    console.print(table)
    for line in diagnosis.remedies:
        console.print(f"→ {line}", markup=False, highlight=False, soft_wrap=True)


def _add_broken(table: Table, lines: list[str]) -> None:
    from rich.markup import escape

    for line in lines:
        table.add_row("[red]broken[/]", escape(printable(line)))


def _list(names: list[str]) -> str:
    from rich.markup import escape

    return escape(printable(", ".join(names) or "nothing yet"))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("doctor")(doctor)
