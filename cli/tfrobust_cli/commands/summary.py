"""`tfrobust summary`: what a model consists of, and what it needs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.registry import entries
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import log, start_tensorflow, stdout
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import Json, Params, Scenario, names_of
from tfrobust_cli.options.load import check_unused, loads_classifiers, notices
from tfrobust_cli.options.remote import Remote, asks_endpoints

if TYPE_CHECKING:
    from tfrobust.model import Summary


@loads_classifiers
@asks_endpoints
def summary(
    model: Annotated[
        str,
        typer.Argument(
            help="A model plugin, or a stored classifier trained from one.",
            autocompletion=names_of("models"),
        ),
    ],
    scenario: Scenario = "digits",
    param: Params = None,
    as_json: Json = False,
    *,
    loading: LoadOptions,
    remote: Remote,
) -> None:
    """Show a model's layers, parameters and memory; for Larq's models also bits and operations.

    For a classifier with several components, such as a calibrater or streams, it shows each.

    Example: [bold]tfrobust summary lenet_bnn --scenario mnist[/]
    """
    if model in {entry.name for entry in entries("models")}:
        check_unused(loading, f"{model} is a model plugin")
        shown = _of_plugin(model, scenario, param)
    else:
        shown = _of_classifier(model, remote.applied(loading))
    if as_json:
        print(json.dumps(dataclasses.asdict(shown), indent=1))
    else:
        _print(shown)


def _of_plugin(model: str, scenario: str, param: list[str] | None) -> Summary:
    plugins = [("models", model), *scenario_plugins(scenario)]
    check_known(plugins)
    start_tensorflow()
    params = Parameters(param, plugins)
    data = opened(scenario, params)
    shown: Summary = params.build("models", model).summary(data.image_shape, data.num_classes)
    return shown


def _of_classifier(name: str, loading: LoadOptions) -> Summary:
    start_tensorflow()
    from tfrobust.pipeline.reload import network_of
    from tfrobust.pipeline.summaries import classifier_summary

    network = network_of(name, loading)
    for line in notices({name: network}):
        log(line)
    return classifier_summary(name, network)


def _print(shown: Summary) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=shown.title)
    for number, column in enumerate(shown.columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right")
    for row in shown.rows:
        table.add_row(*map(Text, row))
    totals = Table(show_header=False)
    for name, value in shown.totals.items():
        totals.add_row(Text(name), Text(value))
    stdout().print(table, totals)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("summary")(summary)
