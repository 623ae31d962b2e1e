"""`tfrobust export`: a classifier → TensorFlow Serving's layout, or a LiteRT file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import (
    MOST,
    Classifier,
    Json,
    Parameters,
    Params,
    Seed,
    check_known,
    scenario_plugins,
)
from tfrobust_cli.console import say, start_tensorflow
from tfrobust_cli.export_options import (
    As,
    Attack,
    Defenses,
    Detector,
    Format,
    Only,
    Samples,
    Scenario,
    ToBits,
    check_options,
)
from tfrobust_cli.load_options import loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.parts import write_lite, write_part


@loads_classifiers
def export(
    classifier: Classifier,
    folder: Annotated[Path, typer.Argument(help="Where FOLDER/VERSION is made.")],
    version: Annotated[
        int | None, typer.Option(help="A number; the next free one if not given.", min=1, max=MOST)
    ] = None,
    only: Only = None,
    form: As = Format.SAVED_MODEL,
    quantize: ToBits = None,
    defense: Defenses = None,
    detector: Detector = None,
    attack: Attack = None,
    scenario: Scenario = None,
    param: Params = None,
    images: Samples = 500,
    seed: Seed = 0,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Export a classifier as a SavedModel that needs nothing but TensorFlow, or for LiteRT.

    Example: [bold]tfrobust export d1 served/digits[/]

    Example: [bold]tfrobust export d1 served/guarded --detector kernel_density --attack pgd[/]

    Example: [bold]tfrobust export d1-b2 served/calibrater --only calibrater --format tflite
    --quantize int8[/]
    """
    check_options(
        only=only, form=form, quantize=quantize, detector=detector, attack=attack,
        defense=defense,
    )  # fmt: skip
    around = [("defenses", each) for each in defense or ()]
    around += [("detectors", detector), ("attacks", attack)] if detector and attack else []
    named = [*around, *(scenario_plugins(scenario) if scenario else [])]
    check_known([*named, *([("defenses", only)] if only else [])])
    start_tensorflow()
    import keras

    from tfrobust import store
    from tfrobust.data.names import open_scenario
    from tfrobust.data.reading import check_fits
    from tfrobust.pipeline.build import defended, untrained
    from tfrobust.pipeline.reload import network_of, trained_on
    from tfrobust.serving.guard import guard
    from tfrobust.serving.servable import separated, whole
    from tfrobust.store.cards import renewed_card
    from tfrobust.store.new_versions import claimed_version
    from tfrobust.training.trainer import Trainer, TrainingOptions

    keras.utils.set_random_seed(seed)  # defences and detectors make generators of their own
    params = Parameters(param, named)
    data = opened(scenario, params, seed=seed) if scenario else None
    loading = loading.for_images(data.image_shape) if data else loading
    load = network_of if only else store.load
    exported = load(classifier, options=loading)
    for line in notices({classifier: exported}):
        say(line)
    if data:
        check_fits(exported, data, classifier)
    if around:
        shown = data or trained_on(classifier) or open_scenario("digits")
        wanted = untrained([params.build("defenses", each) for each in defense or ()])
        exported = defended(exported, wanted, shown, Trainer(TrainingOptions(seed=seed)))
        if detector and attack:
            learner, lesson = params.build("detectors", detector), params.build("attacks", attack)
            exported = guard(exported, learner, lesson, shown, images=images, seed=seed)
    with claimed_version(folder, version) as target:
        if only or form is Format.TFLITE:
            part = separated(exported, only) if only else whole(exported)
            if form is Format.SAVED_MODEL:
                write_part(part, target, as_json=as_json)
                return
            bits = quantize.value if quantize else None
            write_lite(
                part, target, data, classifier=classifier, quantize=bits, samples=images,
                as_json=as_json,
            )  # fmt: skip
            return
        names = data.class_names if data else ()
        card = renewed_card(exported, scenario=scenario, class_names=names)
        made = store.export(exported, target, card=card)
    print(json.dumps({"path": str(made)}) if as_json else made)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("export")(export)
