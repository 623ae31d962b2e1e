"""Two quantizers that Larq does not have: k-bit linear, and signs drawn at random.

Both are Larq quantizers: `precision` tells `larq.models.summary` the bits, and both can be saved
and loaded. Gradients go straight through and are cut where |x| > 1 (Courbariaux et al. 2016).
"""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf

import tfrobust_larq.legacy_keras  # noqa: F401 (must come before Larq)

import larq  # isort: skip


@larq.utils.register_keras_custom_object
class Linear(larq.quantizers.Quantizer):
    """q(x) = clip(round(x · 2^(b−1)) / 2^(b−1), −1, 1): 2^b + 1 levels, zero among them.

    Guan, "Adversarial example defense and detection using quantized neural networks with inference
    time dropout", eq. 11; Hubara et al., "Quantized neural networks" (2018).

    Args:
        bits: b; 2 gives {−1, −0.5, 0, 0.5, 1}. The paper counts b bits, zero apart; `precision` is
            what 2^b + 1 levels take: b + 1.
    """

    def __init__(self, bits: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.precision = bits + 1

    def call(self, inputs: Any) -> Any:
        """Return the quantized values."""
        steps = float(2 ** (self.bits - 1))
        return _straight_through(
            inputs, lambda x: tf.clip_by_value(tf.round(x * steps) / steps, -1.0, 1.0)
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "bits": self.bits}


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
