"""What a model consists of, layer by layer or part by part, and what it needs in all."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tfrobust.classifiers.keras.models import keras_of

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier

_FLOAT = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Summary:
    """A table of layers and the totals.

    Attributes:
        title: the model's name.
        columns: of the table.
        rows: a layer or part each; the last may be their sum.
        totals: what → how much.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    totals: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Component:
    """A part of a classifier, with weights of its own.

    Attributes:
        name: of it.
        parameters: floating-point numbers.
        megabytes: of 10⁶ bytes, that they take as they are kept.
    """

    name: str
    parameters: int
    megabytes: float


@runtime_checkable
class Composed(Protocol):
    """A classifier of several parts that stand side by side."""

    def components(self) -> list[Component]:
        """Return them."""


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


def summarized_parts(classifier: Classifier, title: str) -> Summary | None:
    """Return the parts of a classifier, with their sum; `None` for a single network.

    Args:
        classifier: any.
        title: of the table.

    Example:
        >>> summarized_parts(stored_network("d1-b2"), "d1-b2").rows
        [('calibrater', '4,402', '0.0176'), ('network', '44,426', '0.178'), ('sum', ...)]
    """
    parts = components_of(classifier)
    if len(parts) < 2:
        return None
    size = sum(each.megabytes for each in parts)
    parameters = sum(each.parameters for each in parts)
    rows = [(p.name, f"{p.parameters:,}", f"{p.megabytes:.3g}") for p in parts]
    return Summary(
        title=title,
        columns=("part", "parameters", "MB"),
        rows=[*rows, ("sum", f"{parameters:,}", f"{size:.3g}")],
        totals={"parameters": f"{parameters:,}", "memory": f"{size:.3g} MB"},
    )


def components_of(classifier: Classifier) -> list[Component]:
    """Return the parts of a classifier that have weights, from the outermost to the innermost."""
    from tfrobust.classifiers.inference import megabytes, parameters

    if isinstance(classifier, Composed):
        return classifier.components()
    inner = getattr(classifier, "inner", None)
    if inner is None:
        return [Component("network", parameters(classifier), megabytes(classifier))]
    own = parameters(classifier) - parameters(inner)
    if not own:
        return components_of(inner)
    size = megabytes(classifier) - megabytes(inner)
    return [Component(classifier.defenses[-1].name, own, size), *components_of(inner)]
