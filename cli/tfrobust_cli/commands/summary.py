"""`tfrobust summary`: what a model consists of, and what it needs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust.registry import entries
from tfrobust_cli.arguments import (
    Json,
    Parameters,
    Params,
    Scenario,
    check_known,
    names_of,
    scenario_plugins,
)
from tfrobust_cli.console import start_tensorflow, stdout

if TYPE_CHECKING:
    from tfrobust.summary import Summary


def summary(
    model: Annotated[
        str,
        typer.Argument(
            help="A model plugin, or a classifier in saved_models/ that was trained from one.",
            autocompletion=names_of("models"),
        ),
    ],
    scenario: Scenario = "digits",
    param: Params = None,
    as_json: Json = False,
) -> None:
    """Show a model's layers, parameters and memory; of Larq's models bits and operations too.

    Example: [bold]tfrobust summary lenet_bnn --scenario mnist[/]
    """
    known = {entry.name for entry in entries("models")}
    named = [("models", model), *scenario_plugins(scenario)] if model in known else []
    check_known(named)
    start_tensorflow()
    from tfrobust.registry import create
    from tfrobust.scenes import open_scenario

    if named:
        params = Parameters(param, named)
        data = open_scenario(scenario, params.all())
        found = params.build("models", model).summary(data.image_shape, data.num_classes)
    else:
        card = _card(model)
        builder = create("models", card.model["name"], **card.model["params"])
        found = builder.summary(card.image_shape, len(card.class_names))
        if card.megabytes:
            found.totals["compressed"] = f"{card.megabytes:.3g} MB"
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _print(found)


def _card(classifier: str) -> Any:
    """Return the card of a stored classifier that tells which model it was built from."""
    from tfrobust import store

    path: Path = store.locate(classifier)
    card = store.read_card(path)
    if card is None or "name" not in (card.model or {}):
        raise UsageError(
            f"{classifier}: nothing tells which model it was built from; name a model plugin "
            "(`tfrobust plugins models` lists them)"
        )
    return card


def _print(found: Summary) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=found.title)
    for number, column in enumerate(found.columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right")
    for row in found.rows:
        table.add_row(*map(Text, row))
    totals = Table(show_header=False)
    for name, value in found.totals.items():
        totals.add_row(Text(name), Text(value))
    stdout().print(table, totals)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("summary")(summary)
