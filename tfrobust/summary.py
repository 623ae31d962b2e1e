"""What a model consists of, layer by layer, and what it needs in all."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tfrobust.keras_models import keras_of

_FLOAT = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Summary:
    """A table of layers and the totals.

    Attributes:
        title: the model's name.
        columns: of the table.
        rows: a layer each; the last may be their sum.
        totals: what → how much.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    totals: dict[str, str]


def summarized(model: Any) -> Summary:
    """Return the layers of any Keras model, with their outputs and parameters.

    Example:
        >>> summarized(create("models", "lenet").build((28, 28, 1), 10)).totals["parameters"]
        '107,786'
    """
    rows: list[tuple[str, ...]] = [
        (layer.name, type(layer).__name__, _shape(layer), f"{layer.count_params():,}")
        for layer in model.layers
    ]
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    parameters = model.count_params()
    return Summary(
        title=model.name,
        columns=("layer", "kind", "output", "parameters"),
        rows=rows,
        totals={
            "parameters": f"{parameters:,}",
            "trainable": f"{trainable:,}",
            "memory": f"{parameters * _FLOAT / 1024:,.1f} KiB",
            "Keras": keras_of(model).__version__,
        },
    )


def _shape(layer: Any) -> str:
    output = layer.output
    first = output[0] if isinstance(output, (list, tuple)) else output
    return "×".join("…" if side is None else str(side) for side in first.shape)
