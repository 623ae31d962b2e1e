"""A sum with weights that are 0 or more and sum to 1, as a Keras layer."""

from __future__ import annotations

from typing import Any

import keras

from tfrobust_regularisation.orthogonal import simplex


@keras.saving.register_keras_serializable(package="tfrobust_regularisation")
class OnSimplex(keras.constraints.Constraint):
    """Projects weights onto the simplex."""

    def __call__(self, weights: Any) -> Any:
        """Return the nearest weights that are 0 or more and sum to 1."""
        return simplex(weights)


@keras.saving.register_keras_serializable(package="tfrobust_regularisation")
class ConvexSum(keras.layers.Layer):
    """Σ α_i x_i with trained α on the simplex: no farther apart than its inputs are.

    It begins with equal weights.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights, one an input."""
        count = len(input_shape)
        self.alpha = self.add_weight(
            shape=(count,),
            name="alpha",
            initializer=keras.initializers.Constant(1.0 / count),
            constraint=OnSimplex(),
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return the weighted sum."""
        return sum(self.alpha[number] * tensor for number, tensor in enumerate(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of an input."""
        return input_shape[0]
