"""`tfrobust train`: an architecture, a dataset, defences → a stored classifier."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.training.cluster import check_port, cluster_from
from tfrobust.training.options import TrainingOptions
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, log, start_tensorflow
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import (
    Defenses,
    Json,
    Params,
    Scenario,
    TrainOnly,
    Weights,
    names_of,
)
from tfrobust_cli.options.distil import Distilled, check_distilled, distils
from tfrobust_cli.options.load import check_unused, loads_classifiers
from tfrobust_cli.options.remote import Remote, asks_endpoints
from tfrobust_cli.options.trackers import (
    TrackerNames,
    built_trackers,
    tracked,
    tracker_plugins,
)
from tfrobust_cli.options.training import check_only, trains
from tfrobust_cli.options.weights import with_weights
from tfrobust_cli.options.worker import Spread, as_worker, run_as_worker, trains_on_workers

if TYPE_CHECKING:
    from tfrobust.execution.settings import WorkerSettings
    from tfrobust.pipeline.stored_training import Trained
    from tfrobust.tracker import Tracker

_Name = Annotated[str, typer.Option(help="Name in saved_models/; default: the model's name.")]
_TensorBoard = Annotated[
    Path | None,
    typer.Option(help="Folder for TensorBoard's logs: short for its tracker.", metavar="DIR"),
]
_Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")]
_Force = Annotated[bool, typer.Option("--force", help="Discard an interrupted training.")]


@loads_classifiers
@asks_endpoints
@distils
@trains_on_workers
@trains
def train(
    model: Annotated[
        str,
        typer.Argument(help="A model plugin: lenet, resnet, …", autocompletion=names_of("models")),
    ],
    scenario: Scenario = "digits",
    name: _Name = "",
    defense: Defenses = None,
    only: TrainOnly = None,
    param: Params = None,
    weights: Weights = None,
    tracker: TrackerNames = None,
    tensorboard: _TensorBoard = None,
    resume: _Resume = False,
    force: _Force = False,
    as_json: Json = False,
    *,
    training: TrainingOptions,
    loading: LoadOptions,
    spread: Spread,
    distilled: Distilled,
    remote: Remote,
) -> None:
    """Train a classifier and export it as a SavedModel.

    Example: [bold]tfrobust train lenet --scenario digits --defense pgd_training --name robust[/]

    Example: [bold]tfrobust train d1 --only calibrater --scenario digits+b2 --name d1-b2[/]

    Example: [bold]tfrobust train lenet --distil grpc://localhost:8500/digits --name surrogate[/]
    """
    check_only(only, defense=defense, name=name)
    check_distilled(
        distilled, remote, only=only, defense=defense, train_workers=spread.settings is not None
    )
    defenses = [only] if only else list(defense or ())
    built = only is None or weights is not None
    plugins = [*scenario_plugins(scenario), *(("defenses", plugin) for plugin in defenses)]
    plugins += [*([("models", model)] if built else []), *tracker_plugins(tracker)]
    check_known(plugins)
    if built and distilled.teacher is None:
        check_unused(loading, f"{model} is built")
    if spread.settings is not None:
        _train_on_ray(spread.settings, name or model)
        return
    _start_tensorflow(several_workers=training.strategy == "multiworker")
    from tfrobust.pipeline.plans import TrainingPlan
    from tfrobust.pipeline.starting_points import starting_point
    from tfrobust.pipeline.stored_training import run_training
    from tfrobust.pipeline.workspace import tracker_keys
    from tfrobust.store.cards import card_file
    from tfrobust.store.layout import check_trainable_name, home_of
    from tfrobust.tracking.epochs import EpochFigures
    from tfrobust.training.trainer import Trainer

    params = Parameters(with_weights(param, model, weights), plugins)
    reporter = Reporter()
    # The trainer comes first: several workers meet before TensorFlow does anything else.
    trainer = Trainer(
        training,
        report=reporter,
        log=reporter.log,
        epoch_log=reporter.log,
    )
    data = opened(scenario, params, seed=training.seed, log=trainer.log)
    start = params.build("models", model) if built else model
    plan = TrainingPlan(
        starting_point(start, data, alone=only is not None, loading=loading, note=trainer.log),
        data,
        [params.build("defenses", plugin) for plugin in defenses],
        scenario_name=scenario,
        distilled=distilled.distillation(
            loading.for_images(data.image_shape, data.class_names), remote
        ),
    )
    home = home_of(name or model)
    check_trainable_name(home)  # before trackers begin a run of that name
    trackers = _trackers(tracker, tensorboard, params) if trainer.workers.chief else []
    told = plan.recorded(training) if trackers else {}
    tracking = tracked(
        trackers, "train", name or model, told, trainer.log,
        keys=tracker_keys(home), resume=resume and not force,
    )  # fmt: skip
    with reporter, contextlib.ExitStack() as runs:
        trainer = dataclasses.replace(trainer, on_epoch=EpochFigures(tracking))
        trained = run_training(
            plan, name or model, trainer, resume=resume, force=force,
            begun=lambda: runs.enter_context(tracking),  # of a finished training there is no run
        )  # fmt: skip
        tracking.figures({"clean_accuracy": trained.card.clean_accuracy})
        tracking.artifact(card_file(trained.folder))
    if trainer.workers.chief:
        _print(trained, as_json=as_json)


def _trackers(names: list[str] | None, logs: Path | None, params: Parameters) -> list[Tracker]:
    """Return the trackers, and the one that `--tensorboard` is short for.

    Raises:
        UsageError: both ask for TensorBoard.
    """
    if logs is None:
        return built_trackers(names, params)
    if "tensorboard" in (names or ()):
        raise UsageError(
            "--tensorboard: is short for --tracker tensorboard with its folder; leave one out"
        )
    return [*built_trackers(names, params), create("trackers", "tensorboard", folder=str(logs))]


def _start_tensorflow(*, several_workers: bool) -> None:
    """Start TensorFlow, once this process is known to have its place among several workers."""
    if several_workers:
        check_port(cluster_from())
    start_tensorflow(several_workers=several_workers)


def _train_on_ray(settings: WorkerSettings, name: str) -> None:
    """Let workers run this command; the chief prints what it has trained."""
    from tfrobust.execution.ray_training import train_on_ray
    from tfrobust.pipeline.workspace import plan_stamps
    from tfrobust.store.layout import home_of, store_root

    home, arguments = home_of(name), as_worker(sys.argv[1:])
    before = plan_stamps(home)
    printed = train_on_ray(
        run_as_worker,
        arguments,
        settings,
        store_root(),
        begun=lambda: plan_stamps(home) != before,
        log=log,
    )
    print(printed, end="")


def _print(trained: Trained, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"path": str(trained.folder), **trained.card.model_dump(mode="json")}))
        return
    state = "" if trained.fresh else "already trained: "
    accuracy, size = trained.card.clean_accuracy, trained.card.megabytes
    known = [f"clean accuracy {accuracy:.2%}"] if accuracy else []
    known += [f"{size:.3g} MB"] if size else []
    if imitates := trained.card.imitates:
        known.append(f"agrees with {imitates.of} on {imitates.agreement[-1]:.2%} of")
        known[-1] += f" {imitates.held_out}, for {imitates.queries} queries"
    print("  ".join([f"{state}{trained.folder}", *known]))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train")(train)
