"""`tfrobust export`: a classifier → TensorFlow Serving's layout, or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.serving.settings import ExportSettings
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, start_tensorflow, stdout
from tfrobust_cli.opening import opened
from tfrobust_cli.options.declared import MOST, Classifier, Json, Params, Seed
from tfrobust_cli.options.declared_export import (
    AddedDefenses,
    As,
    Classify,
    DetectedAttack,
    DrawnBy,
    EvaluatedIn,
    ExportOnly,
    FittingScenario,
    Samples,
    ServedDetector,
    ServedInputs,
    ToBits,
    WarmUp,
    WarmUpBatches,
)
from tfrobust_cli.options.export import check_options, served_inputs, warmup_sizes
from tfrobust_cli.options.load import loads_classifiers

if TYPE_CHECKING:
    from tfrobust.serving.exporter import Exported


@loads_classifiers
def export(
    classifier: Classifier,
    folder: Annotated[Path, typer.Argument(help="Folder in which FOLDER/VERSION is created.")],
    version: Annotated[
        int | None,
        typer.Option(help="Version number; default: the next free one.", min=1, max=MOST),
    ] = None,
    only: ExportOnly = None,
    form: As = "saved_model",
    quantize: ToBits = None,
    inputs: ServedInputs = None,
    classify: Classify = False,
    draws: DrawnBy = "fresh",
    warmup: WarmUp = False,
    warmup_batch: WarmUpBatches = None,
    evaluated: EvaluatedIn = None,
    defense: AddedDefenses = None,
    detector: ServedDetector = None,
    attack: DetectedAttack = None,
    scenario: FittingScenario = None,
    param: Params = None,
    images: Samples = 500,
    seed: Seed = 0,
    as_json: Json = False,
    *,
    loading: LoadOptions,
) -> None:
    """Export a classifier as a SavedModel that needs only TensorFlow, or for LiteRT or ONNX.

    Example: [bold]tfrobust export d1 served/digits[/]

    Example: [bold]tfrobust export d1 served/guarded --detector kernel_density --attack pgd[/]

    Example: [bold]tfrobust export d1 served/d1 --inputs image_bytes --classify --warmup[/]

    Example: [bold]tfrobust export d1-b2 served/calibrater --only calibrater --format tflite
    --quantize int8[/]
    """
    check_options(
        only=only, form=form, quantize=quantize, detector=detector, attack=attack,
        defense=defense, draws=draws,
        served={
            "inputs": inputs, "classify": classify, "warmup": warmup, "evaluated": evaluated,
        },
    )  # fmt: skip
    forms = served_inputs(inputs)
    sizes = warmup_sizes(warmup_batch, warmup=warmup)
    plugins = [("defenses", name) for name in defense or ()]
    plugins += [("detectors", detector), ("attacks", attack)] if detector and attack else []
    plugins += scenario_plugins(scenario) if scenario else []
    check_known([*plugins, *([("defenses", only)] if only else [])])
    start_tensorflow()
    from tfrobust.serving import exporter

    params = Parameters(param, plugins)
    settings = ExportSettings(
        classifier=classifier, version=version, only=only, format=form, quantize=quantize,
        defenses=[params.build("defenses", name) for name in defense or ()],
        detector=params.build("detectors", detector) if detector else None,
        attack=params.build("attacks", attack) if attack else None,
        scenario=opened(scenario, params, seed=seed) if scenario else None,
        scenario_name=scenario, images=images, seed=seed, loading=loading,
        inputs=forms, classify=classify, warmup=sizes, draws=draws, evaluated=evaluated,
    )  # fmt: skip
    with Reporter() as reporter:
        exported = exporter.export(settings, folder, log=reporter.log, progress=reporter)
    _print(exported, as_json=as_json)


def _print(exported: Exported, *, as_json: bool) -> None:
    if not as_json:
        if exported.measured:
            _print_measured(exported)
        print(exported.path)
        return
    measured = [vars(file) for file in exported.measured]
    print(json.dumps({"path": str(exported.path)} | ({"measured": measured} if measured else {})))


def _print_measured(exported: Exported) -> None:
    from rich.table import Column, Table

    table = Table("", Column("MB", justify="right"), Column("accuracy", justify="right"))
    for file in exported.measured:
        size = "–" if file.megabytes is None else f"{file.megabytes:.3f}"
        accuracy = "–" if file.accuracy is None else f"{file.accuracy:.2%}"
        table.add_row("without it" if file.name == "none" else file.name, size, accuracy)
    stdout().print(table)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("export")(export)
