"""The types of the command line's options, each declared once."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.registry import entries


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
