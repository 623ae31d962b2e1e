"""`tfrobust evaluate`: classifiers × attacks → results, outcomes, report."""

from __future__ import annotations

from pathlib import Path

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
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
    Suite,
    Target,
    TargetRule,
    check_known,
    scenario_plugins,
)
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.corruption_run import CorruptionRun
from tfrobust_cli.evaluate_options import (
    Attacks,
    Baselines,
    Budgets,
    Counts,
    CraftedOn,
    Detectors,
    NormaliseBy,
    Reattack,
    SuiteName,
    check_suite,
)
from tfrobust_cli.load_options import loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.tables import print_results


@loads_classifiers
def evaluate(
    classifier: Classifiers,
    out: Out,
    scenario: Scenario = "digits",
    attack: Attacks = None,
    suite: SuiteName = None,
    param: Params = None,
    eps: Budgets = None,
    count: Counts = None,
    detector: Detectors = None,
    baselines: Baselines = True,
    crafted_on: CraftedOn = None,
    reattack: Reattack = False,
    normalise_by: NormaliseBy = None,
    split: Split = "test",
    limit: Limit = None,
    target: Target = TargetRule.LEAST_LIKELY,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Attack classifiers and write results.json, outcomes.npz and report.html.

    Example: [bold]tfrobust evaluate d1 --attack fgsm --attack pgd --eps 0.05 --eps 0.1
    --out runs/d1[/]
    """
    from tfrobust import suites

    attacking = {"attack": attack, "eps": eps, "count": count, "detector": detector}
    check_suite(suite, normalise_by, **attacking, crafted_on=crafted_on, reattack=reattack)
    if reattack and not crafted_on:
        raise UsageError("--reattack: expected --crafted-on, the classifier attacked before")
    if suite is Suite.CORRUPTIONS:
        CorruptionRun(
            classifiers=classifier,
            normalise_by=normalise_by,
            scenario=scenario,
            param=param,
            split=split,
            limit=limit,
            seed=seed,
            batch_size=batch_size,
            loading=loading,
        ).run(out, force=force, as_json=as_json)
        return
    attacks = dict.fromkeys([*(attack or []), *(suites.names_in(suite.value) if suite else [])])
    detectors = detector or []
    if crafted_on and not attacks:
        raise UsageError("--crafted-on: expected attacks; give --attack or --suite too")
    if detectors and not attacks:
        raise UsageError("evaluate: a detector learns from an attack; give --attack or --suite too")
    named = [("attacks", each) for each in attacks] + [("detectors", each) for each in detectors]
    check_known([*named, *scenario_plugins(scenario)])
    start_tensorflow()
    import keras

    from tfrobust import store
    from tfrobust.attack import at_values
    from tfrobust.engine.learning import remembering
    from tfrobust.evaluation.evaluator import evaluate as run
    from tfrobust.evaluation.hints import hints
    from tfrobust.evaluation.learned_attacks import keep_learned, notes
    from tfrobust.evaluation.resuming import Partial
    from tfrobust.files.output_folders import PARTIAL, output_folder
    from tfrobust.report import write_run

    keras.utils.set_random_seed(seed)  # detectors make generators of their own
    params = Parameters(param, [*named, *scenario_plugins(scenario)])
    given = suites.options_in(suite.value) if suite else {}
    built = [params.build("attacks", each, defaults=given.get(each)) for each in attacks]
    spread = at_values(at_values(built, "eps", eps or []), "count", count or [])
    with output_folder(out, force=force), Reporter() as reporter, remembering(out / PARTIAL):
        data = opened(scenario, params, seed=seed, say=reporter.say)
        loading = loading.for_images(data.image_shape)
        loaded = store.load_all(classifier, options=loading)
        attacked = loaded
        if crafted_on:
            old = {crafted_on: store.load(crafted_on, options=loading)}
            attacked = old | loaded if reattack else old
        for line in notices(loaded | attacked):
            reporter.say(line)
        for line in [] if reattack else notes(spread, attacked):  # which takes no files
            reporter.say(line)
        evaluated = run(
            loaded,
            data,
            spread,
            split=split,
            limit=limit,
            crafted_on=(crafted_on, attacked[crafted_on]) if crafted_on else None,
            reattack=reattack,
            baselines=None if baselines else (),
            detectors=[params.build("detectors", each) for each in detectors],
            targets=target.value,
            seed=seed,
            batch_size=batch_size,
            partial=Partial(out),
            progress=reporter,
        )

        def learned(folder: Path) -> None:
            if reattack:
                keep_learned(spread, attacked, data, folder, seed=seed)

        write_run(out, evaluated, learned)
        for line in hints(evaluated.results, loaded):
            reporter.say(line)
    print_results(evaluated.results, as_json=as_json, out=out)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate")(evaluate)
