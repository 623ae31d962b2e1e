"""`tfrobust export`: a classifier → TensorFlow Serving's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import (
    Classifier,
    Json,
    Parameters,
    Params,
    Seed,
    StripSoftmax,
    check_known,
    names_of,
    scenario_plugins,
)
from tfrobust_cli.console import start_tensorflow

_Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="One that trains nothing, such as mc_dropout; of a .keras file. Repeat for several.",
        autocompletion=names_of("defenses"),
    ),
]
_Detector = Annotated[
    str | None,
    typer.Option(
        help="Serve its adversarial_score too; it learns from --attack.",
        autocompletion=names_of("detectors"),
    ),
]
_Attack = Annotated[
    str | None,
    typer.Option(help="What the detector learns to tell.", autocompletion=names_of("attacks")),
]
_Scenario = Annotated[
    str | None,
    typer.Option(
        help="What the detector learns on, digits if not given; recorded where no card tells it.",
        autocompletion=names_of("scenarios"),
    ),
]


def export(
    classifier: Classifier,
    folder: Annotated[Path, typer.Argument(help="Where FOLDER/VERSION is made.")],
    version: Annotated[
        int | None, typer.Option(help="A number; the next free one if not given.", min=1)
    ] = None,
    defense: _Defenses = None,
    detector: _Detector = None,
    attack: _Attack = None,
    scenario: _Scenario = None,
    param: Params = None,
    images: Annotated[
        int, typer.Option(help="Training images the detector learns from.", min=1)
    ] = 500,
    seed: Seed = 0,
    strip_softmax: StripSoftmax = False,
    as_json: Json = False,
) -> None:
    """Export a classifier as a SavedModel that needs nothing but TensorFlow.

    Example: [bold]tfrobust export d1 served/digits[/]

    Example: [bold]tfrobust export d1 served/guarded --detector kernel_density --attack pgd[/]
    """
    if (detector is None) != (attack is None):
        raise UsageError("export: a detector learns from an attack; give both or neither")
    named = [("defenses", each) for each in defense or ()]
    named += [("detectors", detector), ("attacks", attack)] if detector and attack else []
    opened = scenario or ("digits" if named else None)
    named += scenario_plugins(opened) if opened else []
    check_known(named)
    start_tensorflow()
    import keras

    from tfrobust import store
    from tfrobust.cards import renewed_card
    from tfrobust.guard import guard
    from tfrobust.pipeline import defended, untrained
    from tfrobust.scenario import check_fits
    from tfrobust.scenes import open_scenario
    from tfrobust.training import Trainer, TrainingOptions

    keras.utils.set_random_seed(seed)  # defences and detectors make generators of their own
    params = Parameters(param, named)
    exported = store.load(classifier, strip=strip_softmax)
    data = open_scenario(opened, params.all(), seed=seed) if opened else None
    if data and scenario:
        check_fits(exported, data, classifier)
    if data:
        wanted = [params.build("defenses", each) for each in defense or ()]
        trainer = Trainer(TrainingOptions(seed=seed))
        exported = defended(exported, untrained(wanted), data, trainer)
    if data and detector and attack:
        learner, lesson = params.build("detectors", detector), params.build("attacks", attack)
        exported = guard(exported, learner, lesson, data, images=images, seed=seed)
    names = data.class_names if data and scenario else ()
    card = renewed_card(exported, scenario=scenario, class_names=names)
    target = folder / str(version) if version else store.next_version(folder)
    made = store.export(exported, target, card=card)
    print(json.dumps({"path": str(made)}) if as_json else made)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("export")(export)
