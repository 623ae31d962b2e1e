"""Interval bound propagation: a box around the image goes through the network, layer by layer.

W x + b: μ ← W μ + b, r ← |W| r, of the box μ ± r;  monotone h: [l, u] ← [h(l), h(u)]

Gowal, Dvijotham, Stanforth et al., "On the effectiveness of interval bound propagation for training
verifiably robust models" (2018). The bounds are those of the network in inference mode: dropout is
off, and batch normalisation uses its running statistics. They hold up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfrobust.classifiers.keras.graph import Call, called_on, calls, inlined, is_functional
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.errors import UsageError
from tfrobust.types import Images, KerasLayer, KerasModel, Labels, Logits

_MONOTONE = frozenset(
    {"linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "tanh", "sigmoid"}
)
_SAME = (  # they move or choose numbers, and give each bound by itself
    "Flatten", "Reshape", "Identity", "ZeroPadding2D", "Cropping2D", "Permute", "Dropout",
    "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
    "ReLU", "LeakyReLU", "ELU", "Activation", "Add", "Concatenate", "Relu", "Relu6", "Average",
)  # fmt: skip


class Box(NamedTuple):
    """Numbers between two bounds of one shape."""

    lower: Any
    upper: Any


class Bounds:
    """The bounds of a network's answers over the images near an image.

    Args:
        model: functional or sequential, of Keras 3.

    Raises:
        UsageError: a layer whose bounds are not known.

    Example:
        >>> Bounds(network.model).logits(images, 0.1).upper.shape
        TensorShape([128, 10])
    """

    def __init__(self, model: KerasModel) -> None:
        if not is_functional(model):
            raise _unknown("a subclassed model, whose layers are not known")
        if keras_of(model) is not keras:
            raise _unknown("a Keras 2 model")
        self._model = inlined(model)
        self._calls = [call for call in calls(self._model) if call.given]
        for call in self._calls:
            _check(call)
        last = self._calls[-1]
        dense = isinstance(last.layer, keras.layers.Dense)
        self._last = last if dense and _activation(last.layer) == "linear" else None

    def logits(self, images: Images, eps: Any) -> Box:
        """Return the bounds of each logit, `(batch, classes)` each.

        Args:
            images: `(batch, height, width, channels)` in [0, 1].
            eps: largest change of a pixel, which stays in [0, 1].
        """
        boxes = self._boxes(images, eps)
        if self._last is not None:
            return _affine(self._last.layer, boxes[id(self._last.given[0])])
        return boxes[id(self._model.outputs[0])]

    def worst(self, images: Images, labels: Labels, eps: Any) -> Logits:
        """Return logits that no image near is worse than: 0 for the label, for others their lead.

        u_k ≥ max z_k − z_y. The difference is bounded itself where the last layer is dense, which
        is tighter than the difference of the bounds.

        Args:
            images: `(batch, height, width, channels)` in [0, 1].
            labels: `(batch,)`.
            eps: largest change of a pixel, which stays in [0, 1].

        Returns:
            float32 `(batch, classes)`; an image is verified where no other class is above 0.
        """
        boxes = self._boxes(images, eps)
        if self._last is None:
            box = boxes[id(self._model.outputs[0])]
            own = tf.gather(box.lower, labels, batch_dims=1)
            lead = box.upper - own[:, None]
        else:
            lead = _lead(self._last.layer, boxes[id(self._last.given[0])], labels)
        own = tf.one_hot(labels, tf.shape(lead)[1], dtype=tf.bool, on_value=True, off_value=False)
        return tf.where(own, 0.0, lead)

    def _boxes(self, images: Images, eps: Any) -> dict[int, Box]:
        """Return the box of each symbolic tensor that is read, the last dense layer's left out."""
        box = Box(tf.maximum(images - eps, 0.0), tf.minimum(images + eps, 1.0))
        boxes = {id(self._model.inputs[0]): box}
        for call in self._calls:
            if call is not self._last:
                boxes[id(call.results[0])] = _through(call, [boxes[id(t)] for t in call.given])
        return boxes


def _check(call: Call) -> None:
    """Refuse a layer whose bounds are not known.

    Raises:
        UsageError: naming it.
    """
    layer, kind = call.layer, type(call.layer).__name__
    known = isinstance(layer, keras.layers.Layer) or kind in _SAME
    affine = kind in ("Dense", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "Rescaling")
    if not known or not (affine or kind in _SAME):
        raise _unknown(f"a layer {kind}")
    if _activation(layer) not in _MONOTONE:
        raise _unknown(f"a layer with {_activation(layer)}, which is not monotone")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise _unknown("a layer with channels first")


def _unknown(received: str) -> UsageError:
    return UsageError(
        "interval bounds: expected a Keras 3 model of dense layers, convolutions, pooling, "
        f"normalisation, sums and monotone activations; received: {received}; take another "
        "architecture, such as lenet"
    )


def _through(call: Call, boxes: Sequence[Box]) -> Box:
    """Return the box of what a call gives."""
    kind = type(call.layer).__name__
    if kind in ("Dense", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "Rescaling"):
        box = _affine(call.layer, boxes[0])
        activation = getattr(call.layer, "activation", None)
        return box if activation is None else Box(activation(box.lower), activation(box.upper))
    lower, upper = (
        called_on(call, [getattr(box, side) for box in boxes])[0] for side in Box._fields
    )
    return Box(lower, upper)


def _affine(layer: KerasLayer, box: Box) -> Box:
    """Return the box of an affine layer, without its activation."""
    centre, radius = (box.upper + box.lower) / 2.0, (box.upper - box.lower) / 2.0
    apply, bias = _linear(layer)
    middle, reach = apply(centre, lambda weight: weight), apply(radius, tf.abs)
    return Box(middle - reach + bias, middle + reach + bias)


def _linear(layer: KerasLayer) -> tuple[Callable[[Any, Callable[[Any], Any]], Any], Any]:
    """Return (x, change) → change(W) x of an affine layer, and its bias."""
    kind = type(layer).__name__
    if kind == "Rescaling":
        scale, offset = (tf.cast(value, tf.float32) for value in (layer.scale, layer.offset))
        return (lambda x, change: x * change(scale)), offset
    if kind == "BatchNormalization":
        slope = tf.math.rsqrt(tf.convert_to_tensor(layer.moving_variance) + layer.epsilon)
        slope *= 1.0 if layer.gamma is None else tf.convert_to_tensor(layer.gamma)
        shift = 0.0 if layer.beta is None else tf.convert_to_tensor(layer.beta)
        shift -= tf.convert_to_tensor(layer.moving_mean) * slope
        return (lambda x, change: x * change(slope)), shift
    bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else 0.0
    kernel = tf.convert_to_tensor(layer.kernel)
    if kind == "Dense":
        return (lambda x, change: tf.linalg.matmul(x, change(kernel))), bias
    convolve = keras.ops.conv if kind == "Conv2D" else keras.ops.depthwise_conv
    given = {"strides": layer.strides, "padding": layer.padding}
    given["dilation_rate"] = layer.dilation_rate
    return (lambda x, change: convolve(x, change(kernel), **given)), bias


def _lead(layer: KerasLayer, box: Box, labels: Labels) -> Logits:
    """Return upper bounds of z_k − z_y, `(batch, classes)`, of a last dense layer."""
    kernel = tf.convert_to_tensor(layer.kernel)
    centre, radius = (box.upper + box.lower) / 2.0, (box.upper - box.lower) / 2.0
    own = tf.gather(kernel, labels, axis=1)  # (units, batch)
    differences = kernel[:, None, :] - own[:, :, None]  # (units, batch, classes)
    lead = tf.einsum("bu,ubk->bk", centre, differences)
    lead += tf.einsum("bu,ubk->bk", radius, tf.abs(differences))
    if not layer.use_bias:
        return lead
    bias = tf.convert_to_tensor(layer.bias)
    return lead + bias - tf.gather(bias, labels)[:, None]


def _activation(layer: KerasLayer) -> str:
    activation = getattr(layer, "activation", None)
    return "linear" if activation is None else getattr(activation, "__name__", "unknown")
