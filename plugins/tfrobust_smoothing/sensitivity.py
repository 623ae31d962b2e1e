"""How far a linear layer can move its outputs, and weights that move them no farther than asked.

Δ = max ‖Wa − Wb‖ / ‖a − b‖, in L2 the largest singular value, in L1 the largest sum of a column.
Of a convolution it is an upper bound: W is its kernel as a matrix, and a pixel lies in at most
⌈h/s⌉ ⌈w/s⌉ of its windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from tfrobust.classifiers.keras.graph import Call, calls, inlined, is_functional, split
from tfrobust.errors import UsageError
from tfrobust.types import KerasLayer, KerasModel
from tfrobust_smoothing.noise import NoiseName

_KEEPING = frozenset({"InputLayer", "Flatten", "Reshape", "ZeroPadding2D", "Identity", "Dropout"})
_ROUNDING = 1e-5
_SHORTENING = frozenset({"linear", "relu", "relu6", "tanh", "leaky_relu"})  # Lipschitz by 1


def sensitivity(kernel: Any, norm: Literal["l1", "l2"], strides: tuple[int, int] = (1, 1)) -> Any:
    """Return an upper bound of the sensitivity of a layer.

    Args:
        kernel: `(inputs, units)`, or `(height, width, inputs, filters)` of a convolution.
        norm: in which images and outputs are measured.
        strides: of the convolution.

    Example:
        >>> float(sensitivity(tf.constant([[3.0, 4.0]]), "l2"))
        5.0
    """
    kernel = tf.convert_to_tensor(kernel)
    if norm == "l1":
        return tf.reduce_max(
            tf.reduce_sum(tf.abs(kernel), axis=[*range(len(kernel.shape) - 2), -1])
        )
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
    gram = tf.matmul(matrix, matrix, transpose_a=True)
    if matrix.shape[0] < matrix.shape[1]:
        gram = tf.matmul(matrix, matrix, transpose_b=True)
    largest = tf.sqrt(tf.maximum(tf.reduce_max(tf.linalg.eigvalsh(gram)), 0.0))
    if len(kernel.shape) == 2:
        return largest
    windows = [math.ceil(size / step) for size, step in zip(kernel.shape[:2], strides, strict=True)]
    return largest * math.sqrt(math.prod(windows))


def within_one(layer: KerasLayer, norm: Literal["l1", "l2"]) -> Callable[[Any], Any]:
    """Return what scales a layer's kernel down where its sensitivity is above 1."""
    strides = getattr(layer, "strides", (1, 1))  # a dense layer has none

    def constraint(kernel: Any) -> Any:
        kernel = tf.convert_to_tensor(kernel)
        return kernel / tf.maximum(1.0, sensitivity(kernel, norm, strides))

    return constraint


def length_of(layer: KerasLayer, noise: NoiseName) -> float:
    """Return an upper bound of a layer's sensitivity, in the norm that noise of a kind protects.

    The float32 of the eigenvalues may be off by some units of the last place, which are added.
    """
    norm: Literal["l1", "l2"] = "l2" if noise == "gaussian" else "l1"
    strides = getattr(layer, "strides", (1, 1))  # a dense layer has none
    return float(sensitivity(layer.kernel, norm, strides)) * (1.0 + _ROUNDING)


def first_layer(model: KerasModel, defense: str) -> KerasLayer:
    """Return the first layer with a kernel, whose sensitivity is that of all before and in it.

    Raises:
        UsageError: what stands before it is not known to keep distances, or it is no layer whose
            sensitivity is known, or the last one.
    """
    return _first_call(model, defense).layer


def halves(model: KerasModel, defense: str) -> tuple[Any, Any]:
    """Return a model's part up to its first layer with a kernel, and the part after it.

    Raises:
        UsageError: as `first_layer`; or what is read later is more than that layer's output.
    """
    flat = inlined(model)
    [output] = _first_call(flat, defense).results
    before, after = split(flat, lambda call: any(tensor is output for tensor in call.given))
    if before is None or len(before.outputs) > 1:
        raise _refused(defense, "one whose images are read again behind that layer")
    return before, after


def _first_call(model: KerasModel, defense: str) -> Call:
    if not is_functional(model):
        raise _refused(defense, "a subclassed model")
    every = calls(inlined(model))
    for place, call in enumerate(every):
        layer = call.layer
        if type(layer).__name__ in _KEEPING:
            continue
        if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
            raise _refused(defense, f"one that begins with {type(layer).__name__}")
        activation = getattr(layer.activation, "__name__", "")
        if activation not in _SHORTENING or getattr(layer, "groups", 1) > 1:
            raise _refused(defense, f"one whose first layer has {activation} or groups")
        if place == len(every) - 1:
            raise _refused(defense, "one of a single layer")
        return call
    raise _refused(defense, "one without such a layer")


def _refused(defense: str, received: str) -> UsageError:
    return UsageError(
        f"{defense}: after=first_layer: expected a network of Keras 3 that begins with a "
        f"convolution or a dense layer; received: {received}; take after=image"
    )
