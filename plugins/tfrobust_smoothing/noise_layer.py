"""Noise in the middle of a network, as a Keras layer that is trained through."""

from __future__ import annotations

from typing import Any

import keras

from tfrobust_smoothing.noise import NoiseName, laplacian


class NoiseLayer(keras.layers.Layer):
    """Adds noise to its inputs, in training and at inference; checkpoints keep its state."""

    def __init__(self, kind: NoiseName, scale: float, **given: Any) -> None:
        super().__init__(**given)
        self.kind, self.scale = kind, scale
        self.generator = keras.random.SeedGenerator()

    def call(self, inputs: Any) -> Any:
        """Return the noisy inputs."""
        shape = keras.ops.shape(inputs)
        if self.kind == "gaussian":
            return inputs + keras.random.normal(shape, stddev=self.scale, seed=self.generator)
        return inputs + laplacian(keras.random.uniform(shape, seed=self.generator), self.scale)
