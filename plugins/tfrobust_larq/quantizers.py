"""Two quantizers that Larq does not have: k-bit linear, and signs drawn at random.

Both are Larq quantizers: `precision` tells `larq.models.summary` the bits, and both can be saved
and loaded. Gradients go straight through and are cut where |x| > 1 (Courbariaux et al. 2016).
"""

from __future__ import annotations

import math
import random
from typing import Any

import tensorflow as tf

import tfrobust_larq.legacy_keras  # noqa: F401 (must come before Larq)
from tfrobust.draws import uniform_of_keys

import larq  # isort: skip


@larq.utils.register_keras_custom_object
class Linear(larq.quantizers.Quantizer):
    """q(x) = clip(round(x / s) · s, low, high), by default with s = 2^(1−b), low = −1 and high = 1.

    Guan, "Adversarial example defense and detection using quantized neural networks with inference
    time dropout": eq. 11 by default, 2^b + 1 levels with zero among them; eq. 6, which is Hubara et
    al., "Quantized neural networks" (2018), with a step and bounds of its own (the paper calls the
    step "bitwidth").

    Args:
        bits: b; 2 gives {−1, −0.5, 0, 0.5, 1}. The paper counts b bits, zero apart; `precision` is
            what all levels take: b + 1 by default.
        step: s, above 0; `None`: 2^(1−b).
        low: the least level, from −1.
        high: the greatest level, to 1.

    Example:
        >>> Linear(2, step=0.25, low=0.0)([-0.4, 0.3, 0.7]).numpy()
        array([0.  , 0.25, 0.75], dtype=float32)
    """

    def __init__(
        self,
        bits: int,
        step: float | None = None,
        low: float = -1.0,
        high: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits, self.step, self.low, self.high = bits, step, low, high
        # A division and a product by powers of two are exact; others are rounded the same way.
        self._steps = 2.0 ** (bits - 1) if step is None else 1.0 / step
        self.precision = math.ceil(math.log2(self._levels()))

    def _levels(self) -> int:
        """Return how many values there are; a bound between two steps is one of its own."""
        near = 1e-6
        below, above = self.low * self._steps, self.high * self._steps
        first, last = math.ceil(below - near), math.floor(above + near)
        return last - first + 1 + (first - below > near) + (above - last > near)

    def call(self, inputs: Any) -> Any:
        """Return the quantized values."""
        return _straight_through(
            inputs,
            lambda x: tf.clip_by_value(
                tf.round(x * self._steps) / self._steps, self.low, self.high
            ),
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        own = {"bits": self.bits, "step": self.step, "low": self.low, "high": self.high}
        return {**super().get_config(), **own}


def activation_levels(bits: int) -> Linear:
    """Return the quantizer of activations to `bits` bits: i / (2^b − 1) from 0 to 1 (eq. 6)."""
    return Linear(bits, step=1.0 / (2**bits - 1), low=0.0)


@larq.utils.register_keras_custom_object
class DrawnSign(larq.quantizers.Quantizer):
    """q(x) = +1 with probability clip((x + 1) / 2, 0, 1), else −1; drawn anew at each call.

    Courbariaux et al., "Binarized neural networks" (2016), eq. 2. Departure: the draw is part of
    inference, too.

    Args:
        seed: of this quantizer; `None`: its own one, which `keras.utils.set_random_seed` determines
            as for Keras's random layers.

    Attributes:
        random_state: int32 `(2,)`: the seed and the number of draws so far.
        gives_mean: give the expectation, clip(x, −1, 1), instead of a draw; see
            `tfrobust.classifiers.keras.models.expected_draws`.
    """

    precision = 1

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = random.getrandbits(31) if seed is None else seed
        self.random_state = tf.Variable([self.seed, 0], trainable=False, dtype=tf.int32)
        self.gives_mean = False

    def call(self, inputs: Any) -> Any:
        """Return drawn signs."""
        if self.gives_mean:
            return tf.clip_by_value(inputs, -1.0, 1.0)
        drawn = uniform_of_keys(tf.shape(inputs))
        if drawn is None:
            seed = self.random_state.assign_add([0, 1])
            drawn = tf.random.stateless_uniform(tf.shape(inputs), seed)

        def sign(x: Any) -> Any:
            return tf.where(drawn < (x + 1.0) / 2.0, 1.0, -1.0)

        return _straight_through(inputs, sign)

    @property
    def non_trainable_weights(self) -> list[Any]:
        """None: the random state is no weight, and no memory of the deployed network."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "seed": self.seed}


def _straight_through(inputs: Any, forward: Any) -> Any:
    """Return forward(inputs), with the gradient of clip(inputs, −1, 1)."""

    @tf.custom_gradient
    def quantized(x: Any) -> Any:
        def backward(upstream: Any) -> Any:
            return tf.where(tf.abs(x) <= 1.0, upstream, tf.zeros_like(upstream))

        return forward(x), backward

    return quantized(inputs)
