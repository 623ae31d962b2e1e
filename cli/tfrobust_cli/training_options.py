"""Options of `tfrobust train` that make `TrainingOptions`."""

from __future__ import annotations

from typing import Annotated

import typer

Epochs = Annotated[int, typer.Option(help="Passes over the images; 0 trains nothing.")]
TrainingBatch = Annotated[
    int | None,
    typer.Option(help="Images a step, over all devices; 128, or fewer for small datasets."),
]
Optimizer = Annotated[str, typer.Option(help="adam, or sgd with momentum 0.9.")]
LearningRate = Annotated[float, typer.Option(help="Of the first step.")]
Schedule = Annotated[str, typer.Option(help="constant, cosine, step, or epoch (see --decay).")]
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
