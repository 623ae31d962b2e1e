"""Dropout whose mask costs half the random numbers: fifty passes are mostly those.

Keras draws a 32-bit number a unit and compares it with the rate. Whether a unit stays needs no such
precision: here each 32-bit number decides on two units. The share that stays is exact to 2⁻¹⁷, and
what stays is scaled by that very share, so that the expectation is exact.
"""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf

_LEVELS = 1 << 16


class Mask(tf.Module):
    """Dropout that is always on, each number of a batch for itself.

    It draws from a seed of its own, which `keras.utils.set_random_seed` decides as it does for
    Keras's random layers.

    Args:
        rate: of the units that are dropped, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._kept = min(_LEVELS, max(1, round((1.0 - rate) * _LEVELS)))
        self.draws = tf.random.Generator.from_seed(random.getrandbits(31))

    def __call__(self, inputs: Any) -> Any:
        """Return the inputs with some set to zero and the others scaled up, of the same shape."""
        if self._kept == _LEVELS:
            return inputs
        count = tf.size(inputs)
        pairs = self.draws.uniform_full_int([(count + 1) // 2], dtype=tf.uint32)
        numbers = tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count]
        stays = tf.reshape(numbers < tf.constant(self._kept, tf.uint16), tf.shape(inputs))
        return tf.where(stays, inputs * (_LEVELS / self._kept), tf.zeros_like(inputs))
