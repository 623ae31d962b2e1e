"""The types of the options of `tfrobust export`, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfrobust.serving.settings import DrawKind, FileFormat, Quantize
from tfrobust_cli.options.declared import MOST, names_of

AddedDefenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="Defence to put around a .keras file, one that does not train, such as mc_dropout; "
        "repeat for several.",
        autocompletion=names_of("defenses"),
    ),
]
ServedDetector = Annotated[
    str | None,
    typer.Option(
        help="Also serve its adversarial_score; it is fitted on --attack.",
        autocompletion=names_of("detectors"),
    ),
]
DetectedAttack = Annotated[
    str | None,
    typer.Option(
        help="Attack on which the detector is fitted.", autocompletion=names_of("attacks")
    ),
]
FittingScenario = Annotated[
    str | None,
    typer.Option(
        help="Data for detectors and quantization; default: that of the training. Recorded if no "
        "card names one.",
        autocompletion=names_of("scenarios"),
    ),
]
ExportOnly = Annotated[
    str | None,
    typer.Option(
        help="Export only this defence, such as calibrater.",
        autocompletion=names_of("defenses"),
    ),
]
As = Annotated[
    FileFormat,
    typer.Option("--format", help="SavedModel for TensorFlow Serving, a LiteRT or an ONNX file."),
]
ToBits = Annotated[
    Quantize | None,
    typer.Option(help="Post-training quantization of a tflite file: int8."),
]
ServedInputs = Annotated[
    list[str] | None,
    typer.Option("--inputs", help="Also take image_bytes (JPEG, PNG) or uint8; repeatable."),
]
Classify = Annotated[
    bool,
    typer.Option("--classify", help="Add a signature for the Classify API of TensorFlow Serving."),
]
DrawnBy = Annotated[
    DrawKind,
    typer.Option("--draws", help="Random defences draw fresh at each call, or by image content."),
]
WarmUp = Annotated[
    bool,
    typer.Option("--warmup", help="Write requests that TensorFlow Serving replays at loading."),
]
EvaluatedIn = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Put what this run of evaluate has measured into the model card."
    ),
]
WarmUpBatches = Annotated[
    list[int] | None,
    typer.Option("--warmup-batch", help="Batch size of those; repeatable; default: 1.", min=1),
]
Samples = Annotated[
    int,
    typer.Option(help="Number of training images for detectors and quantization.", min=1, max=MOST),
]
