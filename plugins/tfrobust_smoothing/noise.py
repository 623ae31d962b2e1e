"""Noise that is drawn from a generator of its own, Gaussian or Laplacian."""

from __future__ import annotations

import math
import random
from typing import Any, Literal

import tensorflow as tf

from tfrobust.draws import Draws

NoiseName = Literal["gaussian", "laplace"]


class Noise(tf.Module):
    """Draws noise of any shape; `keras.utils.set_random_seed` determines it.

    Args:
        kind: `gaussian`: N(0, scale²); `laplace`: of density exp(−|x| / scale) / (2 scale).
        scale: of the noise; 0 or more.

    Example:
        >>> Noise("gaussian", 0.25)((100, 8, 8, 1)).shape
        TensorShape([100, 8, 8, 1])
    """

    def __init__(self, kind: NoiseName, scale: float) -> None:
        super().__init__()
        self.kind, self.scale = kind, scale
        self.draws = Draws(random.getrandbits(31))

    def __call__(self, shape: Any) -> Any:
        """Return float32 noise of a shape."""
        if self.kind == "gaussian":
            return self.draws.normal(shape, stddev=self.scale)
        return laplacian(self.draws.uniform(shape), self.scale)


def laplacian(uniform: Any, scale: float) -> Any:
    """Return Laplacian noise from numbers uniform in [0, 1).

    Example:
        >>> laplacian(tf.constant([0.0, 0.5]), 1.0).numpy()
        array([-16.6,  0.  ], dtype=float32)
    """
    centred = uniform - 0.5
    # The largest draw that float32 holds: log 0 would be infinite.
    tail = tf.math.log1p(-2.0 * tf.minimum(tf.abs(centred), 0.5 - 2.0**-25))
    return -scale * tf.sign(centred) * tail


def deviation(kind: NoiseName, scale: float) -> float:
    """Return the standard deviation of noise of a scale."""
    return scale if kind == "gaussian" else math.sqrt(2.0) * scale
