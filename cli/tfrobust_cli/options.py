"""The types of the command line's options, each declared once."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.registry import entries
from tfrobust.serving.settings import FileFormat, Quantize


def names_of(kind: str) -> Callable[[str], list[str]]:
    """Return a function that completes the names of one kind of plugin in the shell."""

    def complete(incomplete: str) -> list[str]:
        return [e.name for e in entries(kind) if e.name.startswith(incomplete)]

    return complete


def classifiers(incomplete: str) -> list[str]:
    """Complete the names in the store."""
    root = Path(os.environ.get("TFROBUST_MODELS", "saved_models"))
    return [path.name for path in root.glob(f"{incomplete}*") if path.is_dir()]


class TargetRule(enum.Enum):
    """How the classes for targeted attacks are chosen."""

    LEAST_LIKELY = "least_likely"
    NEXT = "next"
    RANDOM = "random"


MOST = 2**31 - 1  # of a whole number: what TensorFlow's int32 holds
_CLASSIFIER = "A name in saved_models/, a SavedModel folder, a .keras or .h5 file."
Classifier = Annotated[str, typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Classifiers = Annotated[list[str], typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Scenario = Annotated[
    str,
    typer.Option(
        help="Dataset, with a shift after a plus: cifar10, cifar10+fog.3.",
        autocompletion=names_of("scenarios"),
    ),
]
Split = Annotated[str, typer.Option(help="Split of the scenario.")]
Limit = Annotated[int | None, typer.Option(help="Only the first LIMIT images.")]
Seed = Annotated[int, typer.Option(help="Decides everything random.", min=0, max=MOST)]
BatchSize = Annotated[int, typer.Option(help="Images at a time.", min=1, max=MOST)]
Target = Annotated[TargetRule, typer.Option(help="Which classes targeted attacks must reach.")]
ServeLearned = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Serve what the attack learned, too: the next version of a SavedModel from images to "
        "adversarial ones.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="Option of a plugin: eps=0.1, or pgd.eps=0.1 of several."),
]
Attack = Annotated[str, typer.Option(help="An attack.", autocompletion=names_of("attacks"))]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Repeat for several.", autocompletion=names_of("attacks")),
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Attacks: fast for a first look, or standard. Or corruptions: no attack, but fifteen "
        "corruptions of the images at five severities, and the mean corruption error.",
        autocompletion=names_of("suites"),
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Show what mere noise does as well.")
]
Detectors = Annotated[
    list[str] | None,
    typer.Option("--detector", help="Repeat for several.", autocompletion=names_of("detectors")),
]
Budgets = Annotated[
    list[float] | None,
    typer.Option("--eps", help="Budget ε of every attack; repeat for a curve."),
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="OPTION=VALUES",
        help="Every attack with this option at each value: count=1,2,3, or ATTACK.OPTION=….",
    ),
]
Counts = Annotated[list[str] | None, typer.Option("--count", hidden=True)]  # of an earlier version
CraftedOn = Annotated[str | None, typer.Option(help="Attack this classifier instead (transfer).")]
Reattack = Annotated[
    bool,
    typer.Option(
        "--reattack",
        help="With --crafted-on OLD: judge OLD too, and attack the others again white-box: fooling "
        "ratios before and after a retraining.",
    ),
]
NormaliseBy = Annotated[
    str | None,
    typer.Option(
        help="Divide errors under corruptions by this classifier's.", autocompletion=classifiers
    ),
]
TrainOnly = Annotated[
    str | None,
    typer.Option(
        help="Train this defence alone, such as calibrater; MODEL then is a finished classifier, "
        "or an architecture with --weights.",
        autocompletion=names_of("defenses"),
    ),
]
Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="In the order in which they are applied.",
        autocompletion=names_of("defenses"),
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Start from a .pth or .safetensors file in torchvision's names, or from imagenet: "
        "the model's option weights. With --epochs 0 they are stored as they are; with --only "
        "they are what a defence is trained for.",
        metavar="FILE",
    ),
]
AddedDefenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="Put around a .keras file; one that trains nothing, such as mc_dropout. Repeatable.",
        autocompletion=names_of("defenses"),
    ),
]
ServedDetector = Annotated[
    str | None,
    typer.Option(
        help="Serve its adversarial_score too; it learns from --attack.",
        autocompletion=names_of("detectors"),
    ),
]
DetectedAttack = Annotated[
    str | None,
    typer.Option(help="What the detector learns to recognise.", autocompletion=names_of("attacks")),
]
FittingScenario = Annotated[
    str | None,
    typer.Option(
        help="What detectors and quantization learn from; that of the training if not given. "
        "Recorded where no card names one.",
        autocompletion=names_of("scenarios"),
    ),
]
ExportOnly = Annotated[
    str | None,
    typer.Option(
        help="Export this defence, such as calibrater, without the classifier behind it.",
        autocompletion=names_of("defenses"),
    ),
]
As = Annotated[FileFormat, typer.Option("--format", help="For TensorFlow Serving, or for LiteRT.")]
ToBits = Annotated[
    Quantize | None,
    typer.Option(help="Post-training quantization of a tflite file: int8."),
]
Samples = Annotated[
    int,
    typer.Option(
        help="Training images that detectors and quantization learn from.", min=1, max=MOST
    ),
]
