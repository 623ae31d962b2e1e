"""`tfrobust evaluate`: classifiers × attacks → results, outcomes, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import Parameters, check_known
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.evaluate_options import EvaluateOptions, evaluates
from tfrobust_cli.load_options import loads_classifiers
from tfrobust_cli.tables import print_results

if TYPE_CHECKING:
    from tfrobust.results.records import Results


@loads_classifiers
@evaluates
def evaluate(*, options: EvaluateOptions, loading: LoadOptions) -> None:
    """Attack classifiers and write results.json, outcomes.npz and report.html.

    Example: [bold]tfrobust evaluate d1 --attack fgsm --attack pgd --eps 0.05 --eps 0.1
    --out runs/d1[/]
    """
    options.check()
    check_known(options.plugins)
    start_tensorflow()
    run = _run_corruptions if options.under_corruptions else _run
    results = run(options, loading)
    print_results(results, as_json=options.as_json, out=options.out)


def _run(options: EvaluateOptions, loading: LoadOptions) -> Results:
    """Attack, and return what was written."""
    from tfrobust import evaluation, store
    from tfrobust.data.names import open_scenario
    from tfrobust.files.output_folders import check_output

    params = Parameters(options.param, options.plugins)
    attacks = options.built_attacks(params)
    detectors = [params.build("detectors", name) for name in options.detector or []]
    check_output(options.out, force=options.force)
    scenario = open_scenario(options.scenario, params.all(), seed=options.seed)
    loading = loading.for_images(scenario.image_shape)
    classifiers = store.load_all(options.classifier, options=loading)
    crafted_on = None
    if options.crafted_on:
        crafted_on = options.crafted_on, store.load(options.crafted_on, options=loading)
    settings = evaluation.EvaluationSettings(
        classifiers=classifiers,
        scenario=scenario,
        attacks=attacks,
        split=options.split,
        limit=options.limit,
        crafted_on=crafted_on,
        baselines=None if options.baselines else (),
        detectors=detectors,
        targets=options.target.value,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    run = evaluation.run_reattack if options.reattack else evaluation.run
    with Reporter() as reporter:
        return run(settings, options.out, force=options.force, progress=reporter, note=reporter.log)


def _run_corruptions(options: EvaluateOptions, loading: LoadOptions) -> Results:
    """Measure under corruptions, and return what was written."""
    from tfrobust import evaluation, store
    from tfrobust.data.names import open_scenario
    from tfrobust.files.output_folders import check_output

    params = Parameters(options.param, options.plugins)
    check_output(options.out, force=options.force)
    scenario = open_scenario(options.scenario, params.all())
    baseline = [options.normalise_by] if options.normalise_by else []
    typed = list(dict.fromkeys([*options.classifier, *baseline]))
    loading = loading.for_images(scenario.image_shape)
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
    )
    with Reporter() as reporter:
        return evaluation.run_corruptions(
            settings, options.out, force=options.force, progress=reporter, note=reporter.log
        )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate")(evaluate)
