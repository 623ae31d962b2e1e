"""Layers with weights as x ↦ W x + b, with W changed entry by entry.

Interval bounds need |W| too. Weights are read when a function is called, so that bounds follow a
training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.types import KerasLayer

Change = Callable[[Any], Any]  # of the entries of W
Apply = Callable[[Any, Change], Any]  # (x, change) → change(W) x


class Weighed(NamedTuple):
    """A layer's linear part and its constant."""

    apply: Apply
    bias: Any  # broadcasts to what `apply` gives


def dense(layer: KerasLayer) -> Weighed:
    """Return a dense layer, without its activation."""
    kernel = _float(layer.kernel)
    return Weighed(lambda x, change: tf.linalg.matmul(x, change(kernel)), _bias(layer))


def conv(layer: KerasLayer) -> Weighed:
    """Return a convolution, without its activation."""
    return Weighed(_convolution(layer, _float(layer.kernel)), _bias(layer))


def depthwise(layer: KerasLayer) -> Weighed:
    """Return a depthwise convolution, without its activation."""
    kernel = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    return Weighed(_depthwise(layer, _float(kernel)), _bias(layer))


def spread(layer: KerasLayer) -> Weighed:
    """Return the depthwise half of a separable convolution."""
    return Weighed(_depthwise(layer, _float(layer.depthwise_kernel)), 0.0)


def pointwise(layer: KerasLayer) -> Weighed:
    """Return the other half of a separable convolution, without its activation."""
    kernel = _float(layer.pointwise_kernel)
    return Weighed(
        lambda x, change: tf.nn.convolution(x, change(kernel), padding="VALID"), _bias(layer)
    )


def batch_normalization(layer: KerasLayer) -> Weighed:
    """Return a normalisation by running statistics."""
    slope = tf.math.rsqrt(_float(layer.moving_variance) + layer.epsilon)
    slope *= 1.0 if layer.gamma is None else _float(layer.gamma)
    shift = 0.0 if layer.beta is None else _float(layer.beta)
    shift -= _float(layer.moving_mean) * slope
    return Weighed(lambda x, change: x * change(slope), shift)


def rescaling(layer: KerasLayer) -> Weighed:
    """Return a layer that scales and shifts."""
    scale = _float(layer.scale)
    return Weighed(lambda x, change: x * change(scale), _float(layer.offset))


def normalization(layer: KerasLayer) -> Weighed:
    """Return a layer that subtracts a mean and divides by a deviation, or does the inverse."""
    mean = _float(layer.mean)
    deviation = tf.maximum(tf.sqrt(_float(layer.variance)), 1e-7)  # Keras's epsilon
    if layer.invert:
        return Weighed(lambda x, change: x * change(deviation), mean)
    return Weighed(lambda x, change: x * change(1.0 / deviation), -mean / deviation)


# The layers, with the functions that follow one another in each.
WEIGHED: Mapping[str, Sequence[Callable[[KerasLayer], Weighed]]] = {
    "Dense": (dense,),
    "Conv2D": (conv,),
    "DepthwiseConv2D": (depthwise,),
    "SeparableConv2D": (spread, pointwise),
    "BatchNormalization": (batch_normalization,),
    "Normalization": (normalization,),
    "Rescaling": (rescaling,),
}
ELEMENTWISE = (batch_normalization, normalization, rescaling)  # a number for each number


def _float(weight: Any) -> Any:
    return tf.cast(tf.convert_to_tensor(weight), tf.float32)


def _bias(layer: KerasLayer) -> Any:
    return _float(layer.bias) if layer.use_bias else 0.0


def _convolution(layer: KerasLayer, kernel: Any) -> Apply:
    groups = getattr(layer, "groups", 1)
    given = {
        "strides": layer.strides,
        "padding": layer.padding.upper(),
        "dilations": layer.dilation_rate,
    }

    def apply(x: Any, change: Change) -> Any:
        if groups == 1:
            return tf.nn.convolution(x, change(kernel), **given)
        # TensorFlow has no gradient of grouped convolutions on a CPU.
        pairs = zip(
            tf.split(x, groups, axis=-1), tf.split(change(kernel), groups, axis=-1), strict=True
        )
        return tf.concat([tf.nn.convolution(*pair, **given) for pair in pairs], axis=-1)

    return apply


def _depthwise(layer: KerasLayer, kernel: Any) -> Apply:
    strides = (1, *layer.strides, 1)
    padding, dilations = layer.padding.upper(), layer.dilation_rate

    def apply(x: Any, change: Change) -> Any:
        return tf.nn.depthwise_conv2d(x, change(kernel), strides, padding, dilations=dilations)

    return apply
