"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import MOST, names_of


class Format(enum.Enum):
    """Of the file."""

    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"


class Quantize(enum.Enum):
    """To how many bits."""

    INT8 = "int8"


Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="One that trains nothing, such as mc_dropout; of a .keras file. Repeat for several.",
        autocompletion=names_of("defenses"),
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(
        help="Serve its adversarial_score too; it learns from --attack.",
        autocompletion=names_of("detectors"),
    ),
]
Attack = Annotated[
    str | None,
    typer.Option(help="What the detector learns to tell.", autocompletion=names_of("attacks")),
]
Scenario = Annotated[
    str | None,
    typer.Option(
        help="What detectors and quantization learn on, that of the training if not given; "
        "recorded where no card tells it.",
        autocompletion=names_of("scenarios"),
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        help="Export this defence without the classifier that it stands before: calibrater.",
        autocompletion=names_of("defenses"),
    ),
]
As = Annotated[Format, typer.Option("--format", help="For TensorFlow Serving, or for LiteRT.")]
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


def check_options(
    *,
    only: str | None,
    form: Format,
    quantize: Quantize | None,
    detector: str | None,
    attack: str | None,
    defense: list[str] | None,
) -> None:
    """Refuse options that have no use for one another.

    Raises:
        UsageError: names them.
    """
    if (detector is None) != (attack is None):
        raise UsageError("export: a detector learns from an attack; give both or neither")
    if only and (detector or defense):
        raise UsageError("--only: exports a defence alone; leave out --defense and --detector")
    if quantize and form is not Format.TFLITE:
        raise UsageError("--quantize: expected --format tflite with it")
    if detector and form is Format.TFLITE:
        raise UsageError("--format tflite: has logits only; leave out --detector and --attack")
