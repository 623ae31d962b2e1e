"""`tfrobust evaluate`: classifiers × attacks → results, outcomes, report."""

from __future__ import annotations

from typing import Annotated

import typer

from tfrobust_cli.arguments import (
    BatchSize,
    Classifiers,
    Force,
    Json,
    Limit,
    Out,
    Parameters,
    Params,
    Scenario,
    Seed,
    Split,
    StripSoftmax,
    Suite,
    Target,
    TargetRule,
    check_known,
    names_of,
    scenario_plugins,
)
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.tables import print_results

_Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Repeat for several.", autocompletion=names_of("attacks")),
]
_Suite = Annotated[
    Suite | None, typer.Option(help="A list of attacks: fast for a first look, or standard.")
]
_Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Show what mere noise does as well.")
]
_Detectors = Annotated[
    list[str] | None,
    typer.Option("--detector", help="Repeat for several.", autocompletion=names_of("detectors")),
]
_Budgets = Annotated[
    list[float] | None, typer.Option("--eps", help="Budget of every attack; repeat for a curve.")
]


def evaluate(
    classifier: Classifiers,
    out: Out,
    scenario: Scenario = "digits",
    attack: _Attacks = None,
    suite: _Suite = None,
    param: Params = None,
    eps: _Budgets = None,
    detector: _Detectors = None,
    baselines: _Baselines = True,
    crafted_on: Annotated[
        str | None, typer.Option(help="Attack this classifier instead (transfer).")
    ] = None,
    split: Split = "test",
    limit: Limit = None,
    target: Target = TargetRule.LEAST_LIKELY,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    strip_softmax: StripSoftmax = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Attack classifiers and write results.json, outcomes.npz and report.html.

    Example: [bold]tfrobust evaluate d1 --attack fgsm --attack pgd --eps 0.05 --eps 0.1
    --out runs/d1[/]
    """
    from tfrobust import suites

    attacks = dict.fromkeys([*(attack or []), *(suites.names_in(suite.value) if suite else [])])
    detectors = detector or []
    named = [("attacks", each) for each in attacks] + [("detectors", each) for each in detectors]
    check_known([*named, *scenario_plugins(scenario)])
    start_tensorflow()
    from tfrobust import store
    from tfrobust.attack import at_budgets
    from tfrobust.evaluation import evaluate as run
    from tfrobust.files import claimed_folder
    from tfrobust.partial import Partial
    from tfrobust.report import write_run
    from tfrobust.scenario import open_scenario

    params = Parameters(param, [*named, *scenario_plugins(scenario)])
    given = suites.options_in(suite.value) if suite else {}
    built = [params.build("attacks", each, defaults=given.get(each)) for each in attacks]
    with claimed_folder(out, force=force), Reporter() as reporter:
        evaluated = run(
            store.load_all(classifier, strip=strip_softmax),
            open_scenario(scenario, params.all(), seed=seed),
            at_budgets(built, eps or []),
            split=split,
            limit=limit,
            crafted_on=(crafted_on, store.load(crafted_on, strip=strip_softmax))
            if crafted_on
            else None,
            baselines=None if baselines else (),
            detectors=[params.build("detectors", each) for each in detectors],
            targets=target.value,
            seed=seed,
            batch_size=batch_size,
            partial=Partial(out),
            progress=reporter,
        )
        write_run(out, evaluated)
    print_results(evaluated.results, as_json=as_json, out=out)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate")(evaluate)
