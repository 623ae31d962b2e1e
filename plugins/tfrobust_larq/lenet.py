"""LeNet in several precisions: the same network, only its weights differ.

Guan, "Adversarial example defense and detection using quantized neural networks with inference
time dropout"; Courbariaux, Hubara, Soudry, El-Yaniv & Bengio, "Binarized neural networks" (2016);
Hubara et al., "Quantized neural networks" (2018).

    convolution 6 – pool – convolution 16 – pool – dense 120 – dropout – dense 84 – dropout – logits

Every convolution and dense layer is quantized, the first and the last too, has no bias and is
followed by batch normalisation: without it sums of ±1 saturate the next layer. (Where weights are
random, their sums are divided by √inputs instead, unless `batch_normalization` asks for the same;
see `layers.normalized`.) The paper does not say
where dropout is applied; here it follows each hidden dense layer, so that repeated passes share
the convolutions. Activations are ReLU by default, so that the gradient with respect to
the image is exact: only the weights' gradient is straight-through. Binary activations are taken
after pooling and dropout, so that a dropped unit is +1. Activations of k bits (`activation_bits`)
are ReLU rounded to i / (2^k − 1) and cut at 1, before pooling and dropout, also with a
straight-through gradient.

Weights of b ≥ 2 bits are clip(round(x · 2^(b−1)) / 2^(b−1), −1, 1), the paper's eq. 11; `step`,
`low` and `high` make them clip(round(x / step) · step, low, high), its eq. 6. Of eq. 11: "b is the
number of bits required to represent all possible weight values in addition to 0". Departure: one
bit is a sign, as in Hubara et al. and in Larq, where `precision` 1 means ±1; the formula would give
−1, 0 and 1, which no bit tells apart. The paper has no such network beside its signs.
"""

from __future__ import annotations

from typing import Any, Literal

import tf_keras

from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape, KerasModel
from tfrobust_larq.layers import (
    ActivationGradient,
    Precision,
    activated,
    convolution,
    dense,
    dropped,
    logits,
)
from tfrobust_larq.profile import LarqModel


def _dropout(default: float) -> Any:
    return option("rate after each hidden dense layer", default=default, ge=0, lt=1)


def _width() -> Any:
    return option("multiplies the number of filters and hidden units", default=1, ge=1)


def step_option() -> Any:
    """Return the option `step` of linear weights."""
    return option("step between weights; none: 2^(1 − bits)", default=None, gt=0, le=1)


def low_option() -> Any:
    """Return the option `low` of linear weights."""
    return option("least weight, from 2 bits on", default=-1.0, ge=-1, le=0)


def high_option() -> Any:
    """Return the option `high` of linear weights."""
    return option("greatest weight, from 2 bits on", default=1.0, gt=0, le=1)


def activation_bits_option() -> Any:
    """Return the option `activation_bits`."""
    return option("bits per activation, in [0, 1]; none: ReLU", default=None, ge=1, le=16)


def weights_of(
    bits: int | None,
    step: float | None = None,
    low: float = -1.0,
    high: float = 1.0,
    activation_bits: int | None = None,
) -> Precision:
    """Return how `bits` bits quantize weights: 1: signs; more: linear; `None`: float.

    Args:
        bits: per weight.
        step: of linear weights; see `quantizers.Linear`.
        low: their least value.
        high: their greatest value.
        activation_bits: per activation; `None`: ReLU.

    Raises:
        ValueError: signs or floats with a step or bounds.
    """
    if bits is not None and bits > 1:
        return Precision("linear", bits, None, step, low, high, activation_bits)
    if (step, low, high) != (None, -1.0, 1.0):
        raise ValueError(
            "step, low and high: expected bits of 2 or more, which they space; received: "
            f"bits={'none' if bits is None else bits}"
        )
    kind: Literal["float", "sign"] = "float" if bits is None else "sign"
    return Precision(kind, activation_bits=activation_bits)


class _LeNet(LarqModel):
    """What the four have in common."""

    dropout: float
    width: int

    def precision(self) -> Precision:
        """Return how weights and activations are quantized."""
        raise NotImplementedError

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the untrained `tf_keras` model; see `ModelBuilder.build`."""
        precision = self.precision()
        images = tf_keras.Input(image_shape, name="images")
        x = images
        for filters in (6, 16):
            x = convolution(x, precision, filters * self.width, 5)
            x = activated(x, precision)
            x = tf_keras.layers.MaxPooling2D(padding="same")(x)
        x = tf_keras.layers.Flatten()(x)
        for units in (120, 84):
            x = activated(dense(x, precision, units * self.width), precision)
            x = dropped(x, self.dropout)
        name = type(self).__name__.lower()
        return tf_keras.Model(images, logits(x, precision, num_classes), name=name)


@plugin
class LeNetFloat(_LeNet, ModelBuilder):
    """LeNet in full precision, from the code of the quantized ones."""

    dropout: float = _dropout(0.5)
    width: int = _width()

    def precision(self) -> Precision:
        """Return 32 bits."""
        return Precision("float")


@plugin
class LeNetBnn(_LeNet, ModelBuilder):
    """LeNet with weights ±1."""

    dropout: float = _dropout(0.5)
    width: int = _width()
    binary_activations: bool = option("use activations of ±1 instead of ReLU", default=False)
    activation_gradient: ActivationGradient = option(
        "gradient of binary activations; ste: straight-through",
        default="ste",
    )

    def precision(self) -> Precision:
        """Return signs, with a straight-through gradient cut at ±1."""
        gradient = self.activation_gradient if self.binary_activations else None
        return Precision("sign", activations=gradient)


@plugin
class LeNetRandomBnn(_LeNet, ModelBuilder):
    """LeNet with random weights ±1, sampled at each forward pass, also at inference."""

    dropout: float = _dropout(0.0)
    width: int = _width()
    batch_normalization: bool = option(
        "normalise over the batch instead of dividing by √inputs", default=False
    )

    def precision(self) -> Precision:
        """Return drawn signs."""
        return Precision("drawn", batch_normalized=self.batch_normalization)


@plugin
class LeNetQuantized(_LeNet, ModelBuilder):
    """LeNet with k-bit weights; one bit is ±1, as in `lenet_bnn`."""

    bits: int = option(
        "bits per weight, without zero; 1: sign; 2: 0, ±0.5, ±1", default=2, ge=1, le=16
    )
    dropout: float = _dropout(0.5)
    width: int = _width()
    step: float | None = step_option()
    low: float = low_option()
    high: float = high_option()
    activation_bits: int | None = activation_bits_option()

    def __post_init__(self) -> None:
        self.precision()  # refuses what does not fit together

    def precision(self) -> Precision:
        """Return `bits` bits."""
        return weights_of(self.bits, self.step, self.low, self.high, self.activation_bits)
