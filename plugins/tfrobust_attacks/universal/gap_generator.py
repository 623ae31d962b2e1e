"""The network that generates perturbations: images in, one perturbation in [−1, 1] per image out.

A convolution of 7×7, two that halve the image, residual blocks, two that double it, one of 7×7 and
tanh: Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution" (2016), as Poursaeed et al. (2018) use it. Departures: instance normalisation
throughout, so that an image's perturbation does not depend on its batch; padding with zeros; if a
side is not a multiple of 4, the output is cropped to it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfrobust.types import Images, ImageShape

_SPREAD = 0.02  # of the random weights, as in the original


def generator(image_shape: ImageShape, filters: int, blocks: int, *, seed: int) -> Any:
    """Return the untrained Keras model, `(batch, height, width, channels)` to the same in [−1, 1].

    Args:
        image_shape: `(height, width, channels)`.
        filters: number of filters of the first convolution; the blocks have four times as many.
        blocks: number of residual blocks.
        seed: seed of the random weights.
    """
    height, width, channels = image_shape
    layers = _Layers(seed)
    images = keras.Input(image_shape, name="images")
    x = layers.activated(layers.convolved(images, filters, 7), "first")
    for step, wider in enumerate((2 * filters, 4 * filters), 1):
        x = layers.activated(layers.convolved(x, wider, 3, 2), f"down{step}")
    for number in range(1, blocks + 1):
        y = layers.activated(layers.convolved(x, 4 * filters, 3), f"block{number}")
        y = layers.normalized(layers.convolved(y, 4 * filters, 3), f"block{number}.end")
        x = keras.layers.Add(name=f"block{number}.add")([x, y])
    for step, narrower in enumerate((2 * filters, filters), 1):
        x = layers.activated(layers.doubled(x, narrower), f"up{step}")
    spare = (0, int(x.shape[1]) - height), (0, int(x.shape[2]) - width)
    x = keras.layers.Cropping2D(spare, name="crop")(x) if any(map(any, spare)) else x
    x = keras.layers.Activation("tanh", name="perturbation")(
        layers.convolved(x, channels, 7, use_bias=True)
    )
    return keras.Model(images, x, name="gap")


def generated(
    weights: Sequence[Any], images: Images, image_shape: ImageShape, filters: int, blocks: int
) -> Any:
    """Return the output of a generator with these weights, `(batch, height, width, channels)`.

    Args:
        weights: tensors, in the order of the model's variables.
        images: its input, float32 `(batch, height, width, channels)`.
        image_shape: see `generator`.
        filters: see `generator`.
        blocks: see `generator`.
    """
    model = _plan(image_shape, filters, blocks)
    drawn, _ = model.stateless_call(list(weights), [], images)
    return drawn


def shapes(image_shape: ImageShape, filters: int, blocks: int) -> list[tuple[int, ...]]:
    """Return the shapes of a generator's weights."""
    variables = _plan(image_shape, filters, blocks).trainable_variables
    return [tuple(variable.shape) for variable in variables]


@functools.lru_cache(maxsize=8)
def _plan(image_shape: ImageShape, filters: int, blocks: int) -> Any:
    """Return a generator whose layers are used, not its weights."""
    with tf.init_scope():  # this may be called while an attack is traced
        return generator(image_shape, filters, blocks, seed=0)


class _Layers:
    """Layers whose weights each have their own seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def convolved(
        self, x: Any, filters: int, size: int, stride: int = 1, *, use_bias: bool = False
    ) -> Any:
        options = self._options() | {"use_bias": use_bias}
        return keras.layers.Conv2D(filters, size, stride, **options)(x)

    def doubled(self, x: Any, filters: int) -> Any:
        return keras.layers.Conv2DTranspose(filters, 3, 2, **self._options())(x)

    def normalized(self, x: Any, name: str) -> Any:
        per_channel = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, name=f"{name}.norm")
        return per_channel(x)

    def activated(self, x: Any, name: str) -> Any:
        return keras.layers.ReLU(name=f"{name}.relu")(self.normalized(x, name))

    def _options(self) -> dict[str, Any]:
        self._seed += 1
        start = keras.initializers.RandomNormal(stddev=_SPREAD, seed=self._seed)
        return {"padding": "same", "use_bias": False, "kernel_initializer": start}
