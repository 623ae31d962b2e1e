"""The `ModelBuilder` contract: an architecture that fits any image shape and class count."""

from __future__ import annotations

import abc
import dataclasses
import importlib
import math
from collections.abc import Mapping

from tfrobust.types import ImageShape, KerasLayer, KerasModel

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


class ModelBuilder(abc.ABC):
    """Builds an untrained Keras model; its fields are its options.

    Example:
        >>> @plugin
        ... class Linear(ModelBuilder):
        ...     def build(self, image_shape, num_classes):
        ...         layers = [keras.Input(image_shape), keras.layers.Flatten(),
        ...                   keras.layers.Dense(num_classes)]
        ...         return keras.Sequential(layers)
    """

    @property
    def smallest_side(self) -> int:
        """The least height and width of the images `build` takes, in pixels; 1 unless overridden.

        Smaller ones are refused with a `UsageError` that says what to do.
        """
        return 1

    @property
    def files(self) -> Mapping[str, str]:
        """The SHA-256 of each file that `build` reads, by the option that names it.

        Cards record it, and a training goes on only from the files it began with.
        """
        return {}

    @abc.abstractmethod
    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return a Keras model from images in [0, 1] to logits.

        Args:
            image_shape: `(height, width, channels)`.
            num_classes: how many logits.

        Returns:
            A Keras 3 or `tf_keras` model, `(batch, *image_shape)` → `(batch, num_classes)`,
            without a softmax. Normalisation of the pixels belongs inside it.
        """

    def summary(self, image_shape: ImageShape, num_classes: int) -> Summary:
        """Return what the model consists of; an override may count bits or operations.

        Args:
            image_shape: `(height, width, channels)`.
            num_classes: how many logits.
        """
        return summarized(self.build(image_shape, num_classes))


def summarized(model: KerasModel) -> Summary:
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
            "Keras": importlib.import_module(generation_of(model)).__version__,
        },
    )


def _shape(layer: KerasLayer) -> str:
    output = layer.output
    first = output[0] if isinstance(output, (list, tuple)) else output
    return "×".join("…" if side is None else str(side) for side in first.shape)


def generation_of(model: KerasModel) -> str:
    """Return the Keras that a model belongs to: `keras` or `tf_keras`."""
    modules = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    return "tf_keras" if "tf_keras" in modules else "keras"
