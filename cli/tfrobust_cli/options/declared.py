"""The types of the command line's options, each declared once."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.registry import entries
from tfrobust_cli.completion import complete_param


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
_CLASSIFIER = (
    "A name in saved_models/, a SavedModel folder, a .keras or .h5 file, or an endpoint: "
    "http://HOST:PORT/v1/models/NAME, grpc://HOST:PORT/NAME."
)
Classifier = Annotated[str, typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Classifiers = Annotated[list[str], typer.Argument(help=_CLASSIFIER, autocompletion=classifiers)]
Scenario = Annotated[
    str,
    typer.Option(
        help="Dataset, optionally with a shift: cifar10, cifar10+fog.3.",
        autocompletion=names_of("scenarios"),
    ),
]
Split = Annotated[str, typer.Option(help="Split of the scenario, such as train or test.")]
Limit = Annotated[int | None, typer.Option(help="Only the first LIMIT images.")]
Seed = Annotated[int, typer.Option(help="Determines all random numbers.", min=0, max=MOST)]
BlockSize = Annotated[
    int,
    typer.Option(help="Images read and attacked together; bounds memory.", min=1, max=MOST),
]
BatchSize = Annotated[int, typer.Option(help="Images at a time.", min=1, max=MOST)]
Target = Annotated[TargetRule, typer.Option(help="Classes that targeted attacks must reach.")]
ServeLearned = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Export the learned attack, as a SavedModel's next version.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder to write the results to.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        help="Option of a plugin: eps=0.1, or pgd.eps=0.1.",
        autocompletion=complete_param,
    ),
]
Attack = Annotated[str, typer.Option(help="An attack plugin.", autocompletion=names_of("attacks"))]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack", help="Attack to run; repeat for several.", autocompletion=names_of("attacks")
    ),
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Attacks: fast for a first look, or standard. Or corruptions: no attack, but fifteen "
        "corruptions at five severities, and the mean corruption error.",
        autocompletion=names_of("suites"),
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Also show the effect of plain noise.")
]
Detectors = Annotated[
    list[str] | None,
    typer.Option(
        "--detector",
        help="Detector to evaluate; repeat for several.",
        autocompletion=names_of("detectors"),
    ),
]
Certifiers = Annotated[
    list[str],
    typer.Option(
        "--certifier",
        help="Certifier to ask; repeat for several.",
        autocompletion=names_of("certifiers"),
    ),
]
BesideCertifiers = Annotated[
    list[str] | None,
    typer.Option(
        "--certifier",
        help="Also certify accuracy at the attacks' budgets; repeat for several.",
        autocompletion=names_of("certifiers"),
    ),
]
Radii = Annotated[
    list[float],
    typer.Option("--eps", help="Radius ε, in the unit of the norm; repeat for several."),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--eps",
        help="Budget ε in the norm's unit: 0.1, or linf=0.1,0.2 for attacks of one norm; repeat "
        "for a curve.",
    ),
]
WarmStart = Annotated[
    bool,
    typer.Option(
        "--warm-start",
        help="At several --eps, attack only what the next smaller budget left, from where it "
        "ended: cheaper, accuracy falls by construction.",
    ),
]
CleanOnly = Annotated[
    bool, typer.Option("--clean-only", help="Run no attack: measure clean accuracy alone.")
]
WithDiagnosis = Annotated[
    bool,
    typer.Option("--diagnosis/--no-diagnosis", help="Look for signs of masked gradients."),
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="OPTION=VALUES",
        help="Run with every value: OPTION=1,2,3 or ATTACK.OPTION=1,2,3.",
    ),
]
Counts = Annotated[list[str] | None, typer.Option("--count", hidden=True)]  # of an earlier version
CraftedOn = Annotated[
    str | None, typer.Option(help="Craft the images on this classifier instead (transfer).")
]
Reattack = Annotated[
    bool,
    typer.Option(
        "--reattack",
        help="With --crafted-on OLD: also evaluate OLD, and attack the others again, white-box: "
        "fooling ratios before and after a retraining.",
    ),
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Also attack each classifier by attacks that know its defences.",
    ),
]
NormaliseBy = Annotated[
    str | None,
    typer.Option(
        help="Divide errors under corruptions by those of this classifier.",
        autocompletion=classifiers,
    ),
]
TrainOnly = Annotated[
    str | None,
    typer.Option(
        help="Train only this defence, such as calibrater. MODEL is then a finished classifier, or "
        "an architecture with --weights.",
        autocompletion=names_of("defenses"),
    ),
]
Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="Defence to apply; repeat for several, in order.",
        autocompletion=names_of("defenses"),
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Start from imagenet, or from a .pth or .safetensors file with torchvision's names "
        "(the model's option weights). --epochs 0 stores them unchanged; with --only a "
        "defence is trained for them.",
        metavar="FILE",
    ),
]
