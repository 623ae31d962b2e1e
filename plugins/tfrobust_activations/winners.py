"""k winners take all, as a Keras layer."""

from __future__ import annotations

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfrobust_activations")
class WinnersTakeAll(keras.layers.Layer):
    """y_i = x_i where x_i is among the k largest numbers of an image, else 0; k = ⌊γ n⌋, from 1.

    All n numbers of the layer compete, of all places and channels. Of equal numbers at the border
    all win.

    Args:
        share: γ, in (0, 1].

    Example:
        >>> WinnersTakeAll(0.5)(np.array([[3.0, -1.0, 2.0, -5.0]])).numpy()
        array([[3., 0., 2., 0.]], dtype=float32)
    """

    def __init__(self, share: float, **given: Any) -> None:
        super().__init__(**given)
        self.share = share

    def call(self, inputs: Any) -> Any:
        """Return the winners where they stood, and zeros."""
        count = math.prod(inputs.shape[1:])
        winners = max(1, math.floor(self.share * count + 1e-9))  # 0.29 · 100 is 28.999…
        flat = keras.ops.reshape(inputs, (-1, count))
        least = keras.ops.min(keras.ops.top_k(flat, winners)[0], axis=1)
        least = keras.ops.reshape(
            keras.ops.stop_gradient(least), (-1, *(1 for _ in inputs.shape[1:]))
        )
        return keras.ops.where(inputs >= least, inputs, keras.ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "share": self.share}
