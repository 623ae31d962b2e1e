"""`tfrobust train`: an architecture, a dataset, defences → a stored classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust_cli.arguments import (
    Json,
    Parameters,
    Params,
    Scenario,
    Seed,
    check_known,
    names_of,
    scenario_plugins,
)
from tfrobust_cli.console import Reporter, say, start_tensorflow
from tfrobust_cli.load_options import check_unused, loads_classifiers, notices
from tfrobust_cli.opening import opened
from tfrobust_cli.training_options import (
    Decay,
    Defenses,
    Epochs,
    Goal,
    LearningRate,
    Only,
    Optimizer,
    Patience,
    Schedule,
    Strategy,
    TrainingBatch,
    Validation,
    WeightDecay,
    check_only,
    training_options,
)
from tfrobust_cli.weights import Weights, with_weights


@loads_classifiers
def train(
    model: Annotated[
        str,
        typer.Argument(help="A model plugin: lenet, resnet, …", autocompletion=names_of("models")),
    ],
    scenario: Scenario = "digits",
    name: Annotated[str, typer.Option(help="In saved_models/; the model's if not given.")] = "",
    defense: Defenses = None,
    only: Only = None,
    param: Params = None,
    weights: Weights = None,
    epochs: Epochs = 10,
    batch_size: TrainingBatch = None,
    optimizer: Optimizer = "adam",
    learning_rate: LearningRate = 1e-3,
    schedule: Schedule = "constant",
    decay: Decay = 10.0,
    weight_decay: WeightDecay = 0.0,
    validation: Validation = 0.1,
    patience: Patience = None,
    target: Goal = None,
    seed: Seed = 0,
    strategy: Strategy = "auto",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's logs.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Throw an interrupted training away.")
    ] = False,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Train a classifier and export it as a SavedModel.

    Example: [bold]tfrobust train lenet --scenario digits --defense pgd_training --name robust[/]

    Example: [bold]tfrobust train d1 --only calibrater --scenario digits+b2 --name d1-b2[/]
    """
    defenses = [only] if only else list(defense or ())
    check_only(only, defense=defense, name=name)
    named = [*scenario_plugins(scenario), *(("defenses", each) for each in defenses)]
    built = only is None or weights is not None
    named += [("models", model)] if built else []
    check_known(named)
    if built:
        check_unused(loading, f"{model} is built")
    start_tensorflow()
    from tfrobust.pipeline.build import Deployed, as_built, train_and_store
    from tfrobust.pipeline.reload import network_of
    from tfrobust.training.trainer import Trainer

    params = Parameters(with_weights(param, model, weights), named)
    options = training_options(
        epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate,
        schedule=schedule, decay=decay, weight_decay=weight_decay, validation=validation,
        patience=patience, target=target, seed=seed, strategy=strategy,
    )  # fmt: skip
    data = opened(scenario, params, seed=seed)
    if built:
        begun: Any = params.build("models", model)
    else:
        network = network_of(model, loading.for_images(data.image_shape))
        for line in notices({model: network}):
            say(line)
        begun = Deployed(model, network)
    if only and built:
        begun = as_built(begun, data)
    with Reporter() as reporter:
        trained = train_and_store(
            begun,
            data,
            name or model,
            Trainer(options, tensorboard=tensorboard, report=reporter, log=reporter.say),
            [params.build("defenses", each) for each in defenses],
            scenario_name=scenario,
            resume=resume,
            force=force,
            on_stage=reporter.say,
        )
    if as_json:
        print(json.dumps({"path": str(trained.folder), **trained.card.model_dump(mode="json")}))
        return
    state = "" if trained.fresh else "already trained: "
    accuracy, size = trained.card.clean_accuracy, trained.card.megabytes
    known = [f"clean accuracy {accuracy:.2%}"] if accuracy else []
    known += [f"{size:.3g} MB"] if size else []
    print("  ".join([f"{state}{trained.folder}", *known]))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train")(train)
