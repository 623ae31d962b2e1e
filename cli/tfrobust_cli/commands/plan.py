"""`tfrobust plan`: what a command will cost, measured on a few images and projected."""

from __future__ import annotations

from typing import Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust_cli.app import App
from tfrobust_cli.arguments import check_known
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.options.evaluate import EvaluatedOptions, plans
from tfrobust_cli.options.load import loads_classifiers
from tfrobust_cli.tables.plan import print_plan

_MOST = 1_000_000
_Devices = Annotated[
    list[int] | None,
    typer.Option(
        help="Devices to share the images; repeat; default: 1, 8 and 64.", min=1, max=_MOST
    ),
]

app = App(help="Predict what a command will cost: evaluate.")


@app.callback()
def plan() -> None:
    """Predict what a command will cost: evaluate."""


@app.command("evaluate")
@loads_classifiers
@plans
def plan_evaluate(
    *, devices: _Devices = None, options: EvaluatedOptions, loading: LoadOptions
) -> None:
    """Try each attack on a few images and predict the time of an evaluation.

    Takes the options of `evaluate`, but those of its output. Nothing is written.

    Example: [bold]tfrobust plan evaluate d1 --suite standard --eps linf=0.1[/]
    """
    options.check()
    _check_predictable(options)
    check_known(options.plugins)
    start_tensorflow()
    from tfrobust import evaluation
    from tfrobust.evaluation.planning import DEVICES

    settings = options.settings(loading)
    with Reporter() as reporter:
        plan = evaluation.plan(settings, devices=devices or DEVICES, progress=reporter)
    print_plan(plan, as_json=options.as_json)


def _check_predictable(options: EvaluatedOptions) -> None:
    """Refuse what no plan predicts.

    Raises:
        UsageError: names it.
    """
    refused = {
        "--suite corruptions": options.under_corruptions,
        "--detector": bool(options.detector),
        "--reattack": options.reattack,
    }
    given = [name for name, is_given in refused.items() if is_given]
    if given:
        raise UsageError(
            f"plan evaluate: does not predict {', '.join(given)}; leave it out, and plan the "
            "attacks alone"
        )


def add_to(app_of_all: typer.Typer) -> None:
    """Register the commands."""
    app_of_all.add_typer(app, name="plan")
