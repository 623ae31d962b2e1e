"""`tfrobust attack`: one classifier, one attack → the adversarial images themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import (
    BatchSize,
    Classifier,
    Force,
    Json,
    Limit,
    Out,
    Parameters,
    Params,
    Scenario,
    Seed,
    Split,
    Target,
    TargetRule,
    check_known,
    names_of,
    scenario_plugins,
)
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.load_options import loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.tables import print_results


@loads_classifiers
def attack(
    classifier: Classifier,
    attack: Annotated[
        str, typer.Option(help="An attack plugin.", autocompletion=names_of("attacks"))
    ],
    out: Out,
    scenario: Scenario = "digits",
    param: Params = None,
    split: Split = "test",
    limit: Limit = None,
    target: Target = TargetRule.LEAST_LIKELY,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Serve what the attack learned, too: the next version of a SavedModel from "
            "images to adversarial ones.",
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Attack a classifier and write adversarial.npz beside the results.

    The file holds `images` (adversarial), `labels` and `clean`; the scenario `arrays` reads it.
    What an attack learned, such as a universal perturbation, is kept beside it: give it to
    another run by -p file=…, also against another classifier, or serve it by --export.

    Example: [bold]tfrobust attack d1 --attack pgd -p eps=0.1 --out runs/pgd[/]

    Example: [bold]tfrobust attack d1 --attack gap --out runs/gap --export served/gap[/]
    """
    named = [("attacks", attack), *scenario_plugins(scenario)]
    check_known(named)
    start_tensorflow()
    from tfrobust import store
    from tfrobust.engine.learning import LearningAttack, remembering
    from tfrobust.evaluation.evaluator import evaluate
    from tfrobust.evaluation.hints import hints
    from tfrobust.evaluation.learned_attacks import learned_from, notes
    from tfrobust.evaluation.resuming import Partial
    from tfrobust.files.atomic import made_before
    from tfrobust.files.output_folders import PARTIAL, output_folder
    from tfrobust.report import write_adversarial, write_run
    from tfrobust.serving.learned_export import check_exportable, export_learned, export_note
    from tfrobust.store.new_versions import claimed_version

    params = Parameters(param, named)
    built = params.build("attacks", attack)
    if export:
        check_exportable(built, export)
    with output_folder(out, force=force), Reporter() as reporter, remembering(out / PARTIAL):
        data = opened(scenario, params, seed=seed, say=reporter.say)
        loaded = store.load_all([classifier], options=loading.for_images(data.image_shape))
        for line in notices(loaded) + notes([built], loaded):
            reporter.say(line)
        evaluated = evaluate(
            loaded,
            data,
            [built],
            split=split,
            limit=limit,
            targets=target.value,
            seed=seed,
            batch_size=batch_size,
            keep_images=True,
            partial=Partial(out),
            progress=reporter,
        )
        [attacked] = loaded.values()
        learns = isinstance(built, LearningAttack)
        ready = learned_from(built, attacked, data, seed=seed) if learns else None
        if export and ready:
            note = export_note(ready, out / PARTIAL)
            if made_before(note, export) is None:  # by a run that was killed
                with claimed_version(export) as place:
                    export_learned(ready, evaluated.images.shape[1:], place, note=note)

        def images(folder: Path) -> None:
            write_adversarial(folder, evaluated)
            if ready and built.file is None:
                ready.save(folder / f"{attack}.npz")

        write_run(out, evaluated, images)
        for line in hints(evaluated.results, loaded):
            reporter.say(line)
    print_results(evaluated.results, as_json=as_json, out=out)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("attack")(attack)
