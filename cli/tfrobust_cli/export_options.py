"""Options of `tfrobust export`: what is exported, and in which form."""

from __future__ import annotations

from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust.serving.settings import FileFormat, Quantize
from tfrobust_cli.arguments import MOST, names_of

Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="Put around a .keras file; one that trains nothing, such as mc_dropout. Repeatable.",
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
    typer.Option(help="What the detector learns to recognise.", autocompletion=names_of("attacks")),
]
Scenario = Annotated[
    str | None,
    typer.Option(
        help="What detectors and quantization learn from; that of the training if not given. "
        "Recorded where no card names one.",
        autocompletion=names_of("scenarios"),
    ),
]
Only = Annotated[
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


def check_options(
    *,
    only: str | None,
    form: FileFormat,
    quantize: Quantize | None,
    detector: str | None,
    attack: str | None,
    defense: list[str] | None,
) -> None:
    """Refuse options that exclude each other, before TensorFlow is imported.

    Raises:
        UsageError: names them.
    """
    if (detector is None) != (attack is None):
        raise UsageError("export: a detector learns from an attack; give both or neither")
    if only and (detector or defense):
        raise UsageError("--only: exports a defence alone; leave out --defense and --detector")
    if quantize and form != "tflite":
        raise UsageError("--quantize: expected --format tflite with it")
    if detector and form == "tflite":
        raise UsageError("--format tflite: has logits only; leave out --detector and --attack")
