"""`tfrobust evaluate`: classifiers × attacks → results, outcomes, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import Parameters, check_known
from tfrobust_cli.console import start_tensorflow
from tfrobust_cli.options.evaluate_run import EvaluateOptions, evaluates
from tfrobust_cli.options.load import loads_classifiers
from tfrobust_cli.options.remote import Remote, asks_endpoints
from tfrobust_cli.options.worker import Spread, uses_workers
from tfrobust_cli.tables.results import print_results

if TYPE_CHECKING:
    from tfrobust.results.records import Results


@loads_classifiers
@uses_workers
@asks_endpoints
@evaluates
def evaluate(
    *, options: EvaluateOptions, loading: LoadOptions, spread: Spread, remote: Remote
) -> None:
    """Attack classifiers and write results.json, outcomes.parquet and report.html.

    Example: [bold]tfrobust evaluate d1 --attack fgsm --attack pgd --eps 0.05 --eps 0.1
    --out runs/d1[/]
    """
    options.check()
    check_known(options.plugins)
    spread.prepare()
    start_tensorflow()
    loading = remote.applied(loading, options.out)
    run = _run_corruptions if options.under_corruptions else _run
    results = run(options, loading, spread)
    print_results(results, as_json=options.as_json, out=options.out)


def _run(options: EvaluateOptions, loading: LoadOptions, spread: Spread) -> Results:
    """Attack, and return what was written."""
    from tfrobust import evaluation
    from tfrobust.files.output_folders import check_output

    check_output(options.out, force=options.force)
    settings = options.settings(loading)
    run = evaluation.run_reattack if options.reattack else evaluation.run
    reopening = options.reopening(loading)
    with (
        options.tracking() as tracked,
        spread.run_options(options.out, force=options.force, reopening=reopening) as how,
    ):
        return tracked(run(settings, options.out, **how))


def _run_corruptions(options: EvaluateOptions, loading: LoadOptions, spread: Spread) -> Results:
    """Measure under corruptions, and return what was written."""
    from tfrobust import evaluation, store
    from tfrobust.data.names import open_scenario
    from tfrobust.files.output_folders import check_output

    params = Parameters(options.param, options.plugins)
    check_output(options.out, force=options.force)
    scenario = open_scenario(options.scenario, params.all())
    baseline = [options.normalise_by] if options.normalise_by else []
    typed = list(dict.fromkeys([*options.classifier, *baseline]))
    loading = loading.for_images(scenario.image_shape, scenario.class_names)
    classifiers = store.load_all(typed, options=loading)
    called = dict(zip(typed, classifiers, strict=True))
    settings = evaluation.CorruptionSettings(
        classifiers=classifiers,
        scenario=scenario,
        baseline=called[options.normalise_by] if options.normalise_by else None,
        split=options.split,
        limit=options.limit,
        seed=options.seed,
        batch_size=options.batch_size,
        block_size=options.block_size,
    )
    with (
        options.tracking() as tracked,
        spread.run_options(options.out, force=options.force) as how,
    ):
        return tracked(evaluation.run_corruptions(settings, options.out, **how))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate")(evaluate)
