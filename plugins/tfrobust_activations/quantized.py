"""Activation functions of few levels, as Keras layers.

Their own gradient is zero almost everywhere. What stands for it here, in training and under attack,
is that of the function without its steps (straight through).
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfrobust_activations")
class UniformLevels(keras.layers.Layer):
    """y = round(clip(x, 0, limit) / s) · s, s = limit / (2^bits − 1); gradient: that of the clip.

    Args:
        bits: b; there are 2^b levels.
        limit: the greatest one.

    Example:
        >>> UniformLevels(2, 3.0)(np.array([[-1.0, 0.4, 1.6, 9.0]])).numpy()
        array([[0., 0., 2., 3.]], dtype=float32)
    """

    def __init__(self, bits: int, limit: float, **given: Any) -> None:
        super().__init__(**given)
        self.bits, self.limit = bits, limit

    def call(self, inputs: Any) -> Any:
        """Return the levels."""
        step = self.limit / (2**self.bits - 1)
        clipped = keras.ops.clip(inputs, 0.0, self.limit)
        return _straight_through(keras.ops.round(clipped / step) * step, clipped)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "bits": self.bits, "limit": self.limit}


@keras.saving.register_keras_serializable(package="tfrobust_activations")
class TrainedThresholds(keras.layers.Layer):
    """y = mean_i sign(x − T_i), of 2^bits − 1 thresholds; gradient: that of mean_i clip(x − T_i).

    Args:
        bits: b; there are 2^b levels from −1 to 1.
        dynamic: train the thresholds; they start evenly spaced in (−1, 1).

    Example:
        >>> TrainedThresholds(1)(np.array([[-0.3, 0.2]])).numpy()
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, bits: int, dynamic: bool = True, **given: Any) -> None:
        super().__init__(**given)
        self.bits, self.dynamic = bits, dynamic

    def build(self, input_shape: Any) -> None:
        """Make the thresholds."""
        levels = 2**self.bits
        even = [2.0 * number / levels - 1.0 for number in range(1, levels)]
        self.thresholds = self.add_weight(
            shape=(levels - 1,), name="thresholds", trainable=self.dynamic, initializer="zeros"
        )
        self.thresholds.assign(even)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return the levels."""
        count = 2**self.bits - 1
        levels = smooth = 0.0
        for threshold in keras.ops.unstack(self.thresholds, count):
            above = inputs - threshold
            levels += keras.ops.where(above >= 0, 1.0, -1.0) / count
            smooth += keras.ops.clip(above, -1.0, 1.0) / count
        return _straight_through(levels, smooth)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "bits": self.bits, "dynamic": self.dynamic}


def _straight_through(levels: Any, smooth: Any) -> Any:
    """Return the levels with the gradient of what is smooth."""
    # In this order the levels come out to the last bit.
    return keras.ops.stop_gradient(levels) + (smooth - keras.ops.stop_gradient(smooth))
