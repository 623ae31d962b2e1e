"""`tfrobust attack`: one classifier, one attack → the adversarial images themselves."""

from __future__ import annotations

import functools

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import start_tensorflow
from tfrobust_cli.options.declared import (
    Attack,
    BatchSize,
    BlockSize,
    Classifier,
    Force,
    Json,
    Limit,
    Out,
    Params,
    Scenario,
    Seed,
    ServeLearned,
    Split,
    Target,
    TargetRule,
)
from tfrobust_cli.options.load import loads_classifiers
from tfrobust_cli.options.remote import Remote, asks_endpoints
from tfrobust_cli.options.worker import Spread, uses_workers
from tfrobust_cli.tables.results import print_results


@loads_classifiers
@uses_workers
@asks_endpoints
def attack(
    classifier: Classifier,
    attack: Attack,
    out: Out,
    scenario: Scenario = "digits",
    param: Params = None,
    split: Split = "test",
    limit: Limit = None,
    target: Target = TargetRule.LEAST_LIKELY,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    block_size: BlockSize = 1024,
    export: ServeLearned = None,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
    spread: Spread,
    remote: Remote,
) -> None:
    """Attack a classifier and write its adversarial images next to the results.

    The folder `adversarial` holds images.npy, labels.npy and clean.npy, which the scenario `arrays`
    reads. What an attack learned, such as a universal perturbation, is written next to it. Use that
    in another run with -p file=…, also against another classifier, or serve it with --export.

    Example: [bold]tfrobust attack d1 --attack pgd -p eps=0.1 --out runs/pgd[/]

    Example: [bold]tfrobust attack d1 --attack gap --out runs/gap --export served/gap[/]
    """
    named = [("attacks", attack), *scenario_plugins(scenario)]
    check_known(named)
    spread.prepare()
    start_tensorflow()
    from tfrobust import evaluation, store
    from tfrobust.data.names import open_scenario
    from tfrobust.files.output_folders import check_output
    from tfrobust.serving.learned_export import check_exportable, export_next

    params = Parameters(param, named)
    built = params.build("attacks", attack)
    if export:
        check_exportable(built, export)
    check_output(out, force=force)
    data = open_scenario(scenario, params.all(), seed=seed)
    shape = data.image_shape
    loading = remote.applied(loading, out).for_images(shape, data.class_names)
    settings = evaluation.EvaluationSettings(
        classifiers=store.load_all([classifier], options=loading),
        scenario=data, attacks=[built], split=split, limit=limit, targets=target.value, seed=seed,
        batch_size=batch_size, block_size=block_size,
    )  # fmt: skip
    serve = functools.partial(export_next, image_shape=shape, home=export) if export else None
    with spread.run_options(out, force=force) as how:
        results = evaluation.craft(settings, out, serve=serve, **how)
    print_results(results, as_json=as_json, out=out)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("attack")(attack)
