"""The layers of the quantized networks: Larq's, with what each precision needs in addition."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import tf_keras

from tfrobust_larq.quantizers import DrawnSign, Linear, activation_levels

import larq  # isort: skip

ActivationGradient = Literal["ste", "approx", "swish"]
_SIGNS = {
    "ste": larq.quantizers.SteSign,
    "approx": larq.quantizers.ApproxSign,
    "swish": larq.quantizers.SwishSign,
}
_MOMENTUM = 0.9  # of the batch statistics: quantized weights jump, and 0.99 lags behind


@dataclasses.dataclass
class Precision:
    """How the weights and activations of one model are quantized; asked for layer after layer.

    Attributes:
        kind: of the weights: `float`, `sign`, `drawn` (signs at random) or `linear`.
        bits: of linear weights.
        activations: the gradient of binary activations; `None`: ReLU.
        step: of linear weights; `None`: that of their bits. See `quantizers.Linear`.
        low: their least level.
        high: their greatest level.
        activation_bits: of ReLU, cut at 1; `None`: it stays as it is.
        batch_normalized: whether sums of drawn weights are normalised over the batch too.
    """

    kind: Literal["float", "sign", "drawn", "linear"]
    bits: int = 0
    activations: ActivationGradient | None = None
    step: float | None = None
    low: float = -1.0
    high: float = 1.0
    activation_bits: int | None = None
    batch_normalized: bool = False
    _layers: int = 0

    def layer(self) -> dict[str, Any]:
        """Return the next Larq layer's options; the first reads the image, which stays as it is."""
        self._layers += 1
        options: dict[str, Any] = {"use_bias": False}
        if self.activations and self._layers > 1:
            options["input_quantizer"] = _SIGNS[self.activations]()
        if self.kind == "float":
            return options
        options |= {"kernel_quantizer": self._quantizer(), "kernel_constraint": "weight_clip"}
        if self.kind != "sign":
            # Small weights would round to zero, or be drawn by a fair coin. A sign has no size.
            options["kernel_initializer"] = tf_keras.initializers.RandomUniform(-1.0, 1.0)
        return options

    def _quantizer(self) -> Any:
        if self.kind == "sign":
            return larq.quantizers.SteSign(clip_value=1.0)
        if self.kind == "linear":
            return Linear(self.bits, self.step, self.low, self.high)
        return DrawnSign()


def convolution(x: Any, precision: Precision, filters: int, size: int, stride: int = 1) -> Any:
    """Return a normalised convolution without bias."""
    layer = larq.layers.QuantConv2D(filters, size, stride, padding="same", **precision.layer())
    return normalized(layer(x), precision, size * size * int(x.shape[-1]))


def dense(x: Any, precision: Precision, units: int, name: str | None = None) -> Any:
    """Return a normalised dense layer without bias."""
    layer = larq.layers.QuantDense(units, **precision.layer())
    return normalized(layer(x), precision, int(x.shape[-1]), name)


def normalized(x: Any, precision: Precision, inputs: int, name: str | None = None) -> Any:
    """Return x normalised over the batch; by default divided by √inputs where weights are drawn.

    All images of a batch share a draw. Normalised over the batch, its offset vanishes in training.
    At inference it is there where running statistics, which know nothing of the draw, are used, and
    vanishes where the statistics are those of the batch: see `mc_dropout`.
    """
    if precision.kind == "drawn" and not precision.batch_normalized:
        return Scaled(inputs**-0.5, name=name)(x)
    return tf_keras.layers.BatchNormalization(momentum=_MOMENTUM, name=name)(x)


@larq.utils.register_keras_custom_object
class Scaled(tf_keras.layers.Layer):
    """x · factor + b, with one b a channel."""

    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        """Make the bias."""
        self.bias = self.add_weight("bias", (input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return the scaled and shifted inputs."""
        return inputs * self.factor + self.bias

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "factor": self.factor}


def activated(x: Any, precision: Precision) -> Any:
    """Return ReLU of x, quantized if asked for.

    Where activations are binary it is x itself, whose sign the next layer takes.
    """
    if precision.activations:
        return x
    x = tf_keras.layers.ReLU()(x)
    # Before dropout, which doubles what it keeps: the levels would be cut at 1 otherwise.
    return activation_levels(precision.activation_bits)(x) if precision.activation_bits else x


def dropped(x: Any, rate: float) -> Any:
    """Return x with dropout, whose random state a checkpoint and a SavedModel keep."""
    return tf_keras.layers.Dropout(rate, rng_type="stateful")(x) if rate else x


def logits(x: Any, precision: Precision, classes: int) -> Any:
    """Return the last layer: quantized and normalised like the others."""
    return dense(x, precision, classes, name="logits")
