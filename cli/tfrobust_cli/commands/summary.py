"""`tfrobust summary`: what a model consists of, and what it needs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust.registry import entries
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import say, start_tensorflow, stdout
from tfrobust_cli.load_options import check_unused, loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.options import Json, Params, Scenario, names_of

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier
    from tfrobust.model import Summary


@loads_classifiers
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
    *,
    loading: LoadOptions,
) -> None:
    """Show a model's layers, parameters and memory; of Larq's models bits and operations too.

    Of a classifier that has several parts, such as a calibrater or streams, it shows these.

    Example: [bold]tfrobust summary lenet_bnn --scenario mnist[/]
    """
    known = {entry.name for entry in entries("models")}
    named = [("models", model), *scenario_plugins(scenario)] if model in known else []
    check_known(named)
    if named:
        check_unused(loading, f"{model} is a model plugin")
    start_tensorflow()
    if named:
        params = Parameters(param, named)
        data = opened(scenario, params)
        found = params.build("models", model).summary(data.image_shape, data.num_classes)
    else:
        found = _stored(model, loading)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _print(found)


def _stored(called: str, loading: LoadOptions) -> Summary:
    """Return the parts of a stored classifier; the layers of one that has no parts."""
    from tfrobust.classifiers.inference import megabytes
    from tfrobust.classifiers.summary import summarized_parts
    from tfrobust.pipeline.reload import network_of

    network = network_of(called, loading)
    for line in notices({called: network}):
        say(line)
    found = summarized_parts(network, called) or _layers(called, network)
    for each in network.defenses:
        if each.name == "deep_compression":
            found.totals["compressed"] = f"{megabytes(network):.3g} MB"
            if others := each.found.get("left_out"):
                found.totals["not compressed"] = ", ".join(others)
    return found


def _layers(called: str, network: Classifier) -> Summary:
    """Return the layers of a network; of a SavedModel, those of the model it was built from."""
    from tfrobust import store
    from tfrobust.classifiers.keras.classifier import KerasClassifier
    from tfrobust.classifiers.members import split_member
    from tfrobust.model import summarized
    from tfrobust.pipeline.reload import why_served
    from tfrobust.registry import create

    name, member = split_member(called)
    card = store.read_card(store.locate(name))
    if isinstance(network, KerasClassifier) and (member or card is None):
        return summarized(network.model)
    if member or network.members or _learned(network):
        raise UsageError(
            why_served(network)
            or f"{called}: a SavedModel does not show its parts; name what "
            "the store keeps, without a version"
        )
    built = (card.model if card else None) or {}
    if card is None or "name" not in built:
        raise UsageError(
            f"{called}: nothing tells which model it was built from; name a model plugin "
            "(`tfrobust plugins models` lists them)"
        )
    found: Summary = create("models", built["name"], **built["params"]).summary(
        card.image_shape, len(card.class_names)
    )
    return found


def _learned(network: Classifier) -> bool:
    """Tell whether a defence round a network has learned weights of its own."""
    from tfrobust.registry import find

    loaded: list[Any] = [find("defenses", each.name).load() for each in network.defenses]
    return any(defense.learns for defense in loaded)


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
