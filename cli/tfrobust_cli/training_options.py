"""Options of `tfrobust train`: what is trained, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import names_of

if TYPE_CHECKING:
    from tfrobust.training.trainer import TrainingOptions

Epochs = Annotated[int, typer.Option(help="Passes over the images; 0 trains nothing.")]
TrainingBatch = Annotated[
    int | None,
    typer.Option(help="Images a step, over all devices; 128, or fewer for small datasets."),
]
Optimizer = Annotated[str, typer.Option(help="adam, or sgd with momentum 0.9.")]
LearningRate = Annotated[float, typer.Option(help="Of the first step.")]
Schedule = Annotated[
    str, typer.Option(help="constant, cosine, step, quarters, or epoch (see --decay).")
]
Decay = Annotated[
    float, typer.Option(help="Divides the learning rate after every epoch; --schedule epoch.")
]
WeightDecay = Annotated[float, typer.Option(help="Decoupled, a step.")]
Validation = Annotated[float, typer.Option(help="Share held out to choose the best.")]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many epochs without a better one.")
]
Goal = Annotated[
    float | None, typer.Option("--target", help="Stop at this validation accuracy: 0.99.")
]
Strategy = Annotated[str, typer.Option(help="auto, default or mirrored.")]


Only = Annotated[
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
        help="In the order they are applied.",
        autocompletion=names_of("defenses"),
    ),
]


def check_only(only: str | None, *, name: str, **others: object) -> None:
    """Refuse what a training of a defence alone has no use for.

    Args:
        only: the defence.
        name: for the store.
        **others: options of a training from the beginning.

    Raises:
        UsageError: names them; or no name is given, and the deployed classifier has its own.
    """
    if only is None:
        return
    given = [f"--{option}" for option, value in others.items() if value]
    if given:
        raise UsageError(f"--only: trains {only} alone; leave out {', '.join(given)}")
    if not name:
        raise UsageError("--only: give the result a --name of its own")


def training_options(**given: Any) -> TrainingOptions:
    """Return the options of a training from what was given to a command, checked.

    Raises:
        UsageError: a value out of range.
    """
    from tfrobust.options import build
    from tfrobust.training.trainer import TrainingOptions

    return build(TrainingOptions, "train", given)
