"""Which weights of a model are compressed: its kernels, in any kind of layer.

Kernels are what Keras calls kernels: the weights that a layer multiplies its inputs with, in
convolutions (separable, depthwise and transposed ones too), dense, attention and recurrent layers,
inside nested models and wrappers as well, trainable or frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfrobust.types import KerasModel

# Biases and normalisations, which are few and are not compressed.
_SMALL = ("bias", "gamma", "beta", "moving_mean", "moving_variance")


def weights_of(model: KerasModel) -> list[Any]:
    """Return all weights of a model, each once, in the order of its layers."""
    weights = {id(weight): weight for layer in model.layers for weight in layer.weights}
    return list(weights.values())


def kernels_of(model: KerasModel) -> dict[str, Any]:
    """Return the kernels of a model, by a name of their own: their path through the layers.

    Example:
        >>> list(kernels_of(keras.Sequential([keras.Input((8, 8, 1)), SeparableConv2D(4, 3)])))
        ['separable_conv2d/depthwise_kernel', 'separable_conv2d/pointwise_kernel']
    """
    # A Keras layer with a kernel keeps it under this name.
    called = {id(getattr(layer, "kernel", None)) for layer in model._flatten_layers()}
    kernels = (
        weight
        for weight in weights_of(model)
        if _floating(weight) and (weight.name.endswith("kernel") or id(weight) in called)
    )
    return dict(_named(kernels))


def left_out(model: KerasModel) -> dict[str, Any]:
    """Return weights of several axes that are neither kernels nor of biases and normalisations.

    They may be kernels in all but name, of a layer that Keras does not know.
    """
    kernels = {id(kernel) for kernel in kernels_of(model).values()}
    others = (
        weight
        for weight in weights_of(model)
        if _floating(weight)
        and id(weight) not in kernels
        and len(weight.shape) > 1
        and weight.name not in _SMALL
    )
    return dict(_named(others))


def _floating(variable: Any) -> bool:
    return "float" in str(variable.dtype)


def _named(variables: Iterator[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each with its path, numbered where two nested models have layers of the same name."""
    taken: dict[str, int] = {}
    for variable in variables:
        path = str(variable.path)
        taken[path] = taken.get(path, 0) + 1
        yield (path if taken[path] == 1 else f"{path}#{taken[path]}"), variable
