"""Batch normalisation by the statistics of the batch it is given, at inference.

y = γ (x − μ_B) / √(σ²_B + ε) + β, with the mean μ_B and the biased variance σ²_B of the batch

Ioffe & Szegedy, "Batch normalization" (2015): what a network computes while it is trained, and
wherever it is called as `model(x, training=True)` to leave dropout on. Departure: the running
statistics stay as they are. Gradients go through μ_B and σ²_B, as in training, so that the gradient
of one image holds what it does to the others.

Where several passes go through in one batch, each pass is normalised by itself: see `of_passes`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Literal

import tensorflow as tf

from tfrobust.types import KerasLayer

BatchStatistics = Literal["running", "batch"]
_PASSES: contextvars.ContextVar[int] = contextvars.ContextVar("passes", default=1)


@contextlib.contextmanager
def of_passes(count: int) -> Iterator[None]:
    """Take a batch that is traced or called inside as the passes of every image, side by side.

    Args:
        count: passes; the rows are those of the first image, then those of the second, and so on.
    """
    token = _PASSES.set(count)
    try:
        yield
    finally:
        _PASSES.reset(token)


def normalizes_batches(layer: KerasLayer) -> bool:
    """Tell whether a layer normalises by the batch where it is called in training mode.

    A frozen one (`trainable = False`) does not: Keras keeps its running statistics then.
    """
    named = any(cls.__name__ == "BatchNormalization" for cls in type(layer).__mro__)
    return named and bool(layer.trainable)


@functools.cache
def by_batch(keras: ModuleType) -> type:
    """Return the Keras layer, of this generation, that stands for a batch normalisation."""

    class ByBatch(keras.layers.Layer):  # type: ignore[name-defined]
        """A batch normalisation that uses the statistics of what it is given."""

        def __init__(self, normalization: KerasLayer) -> None:
            super().__init__()
            self.normalization = normalization

        def call(self, inputs: Any) -> Any:
            """Return the normalised inputs, of the same shape."""
            return _normalized(self.normalization, inputs, _PASSES.get())

    return ByBatch


def _normalized(layer: KerasLayer, inputs: Any, passes: int) -> Any:
    """Return what a layer makes of its inputs; the rows of each pass are normalised together."""
    axis = _axis(layer) % len(inputs.shape)
    channels = [inputs.shape[axis] if a == axis else 1 for a in range(len(inputs.shape))]
    x = tf.cast(inputs, tf.float32)
    if passes > 1:
        shape = tf.shape(x)
        x = tf.reshape(x, tf.concat([[-1, passes], shape[1:]], axis=0))
        x = tf.ensure_shape(x, (None, passes, *inputs.shape[1:]))
    own = {1, axis + 1} if passes > 1 else {axis}
    over = [a for a in range(len(x.shape)) if a not in own]
    mean, variance = tf.nn.moments(x, over, keepdims=True)
    scale = tf.math.rsqrt(variance + layer.epsilon)
    if layer.scale:
        scale *= tf.reshape(tf.cast(layer.gamma, tf.float32), channels)
    shift = -mean * scale
    if layer.center:
        shift += tf.reshape(tf.cast(layer.beta, tf.float32), channels)
    normalized = x * scale + shift
    if passes > 1:
        normalized = tf.reshape(normalized, tf.shape(inputs))
    return tf.cast(tf.ensure_shape(normalized, inputs.shape), inputs.dtype)


def _axis(layer: KerasLayer) -> int:
    """Return the axis of the channels: Keras 2 keeps a list of one."""
    return layer.axis if isinstance(layer.axis, int) else next(iter(layer.axis))
