"""Kernels as matrices, and how far their rows are from orthonormal.

A convolution's kernel is a matrix with a row a filter, scaled by the root of the number of windows
that a pixel lies in: with orthonormal rows no layer makes a difference of its inputs longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfrobust.classifiers.keras.graph import calls, inlined, last_weighed
from tfrobust.types import KerasLayer, KerasModel


def constrained_layers(model: KerasModel, *, last: bool) -> Iterator[KerasLayer]:
    """Yield the dense and convolutional layers of a model, each once.

    Args:
        model: functional or sequential, of Keras 3.
        last: the layer that gives the logits too.
    """
    flat = inlined(model)
    met = set() if last else {id(call.layer) for call in last_weighed(flat)}
    for call in calls(flat):
        layer = call.layer
        if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D) and id(layer) not in met:
            met.add(id(layer))
            if not isinstance(layer, keras.layers.DepthwiseConv2D):
                yield layer


def scale_of(layer: KerasLayer) -> float:
    """Return √(⌈h/s⌉ ⌈w/s⌉) of a convolution, and 1 of a dense layer."""
    if isinstance(layer, keras.layers.Dense):
        return 1.0
    sizes = zip(layer.kernel_size, layer.strides, strict=True)
    return math.sqrt(math.prod(math.ceil(size / step) for size, step in sizes))


def rows(kernel: Any, scale: float) -> Any:
    """Return a kernel as a scaled matrix, `(outputs, inputs)`."""
    kernel = tf.convert_to_tensor(kernel)
    return scale * tf.transpose(tf.reshape(kernel, (-1, kernel.shape[-1])))


def kernel_of(matrix: Any, scale: float, shape: Any) -> Any:
    """Return the kernel of a shape whose `rows` are this matrix."""
    return tf.reshape(tf.transpose(matrix), shape) / scale


def retracted(matrix: Any, beta: float) -> Any:
    """Return (1 + β) W − β W Wᵀ W: a step down ‖W Wᵀ − I‖² that draws singular values to 1."""
    small = matrix.shape[0] <= matrix.shape[1]
    if small:
        cubed = tf.matmul(tf.matmul(matrix, matrix, transpose_b=True), matrix)
    else:
        cubed = tf.matmul(matrix, tf.matmul(matrix, matrix, transpose_a=True))
    return (1.0 + beta) * matrix - beta * cubed


def orthonormal(matrix: Any) -> Any:
    """Return the nearest matrix of orthonormal rows; of columns, where there are more rows."""
    _, left, right = tf.linalg.svd(matrix)
    return tf.matmul(left, right, transpose_b=True)


def departure(matrix: Any) -> float:
    """Return the largest distance of a singular value from 1; 0 of orthonormal rows."""
    return float(np.abs(np.linalg.svd(np.asarray(matrix), compute_uv=False) - 1.0).max())


def simplex(weights: Any) -> Any:
    """Return the nearest weights that are 0 or more and sum to 1, `(count,)`.

    Duchi, Shalev-Shwartz, Singer & Chandra, "Efficient projections onto the ℓ1-ball" (2008).

    Example:
        >>> simplex(tf.constant([1.0, 0.5])).numpy()
        array([0.75, 0.25], dtype=float32)
    """
    weights = tf.convert_to_tensor(weights)
    falling = tf.sort(weights, direction="DESCENDING")
    excess = tf.cumsum(falling) - 1.0
    counts = tf.range(1, tf.size(weights) + 1, dtype=weights.dtype)
    kept = tf.reduce_sum(tf.cast(falling - excess / counts > 0, tf.int32))
    return tf.maximum(weights - excess[kept - 1] / tf.cast(kept, weights.dtype), 0.0)
