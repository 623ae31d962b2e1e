"""Randomness that belongs to an image, not to its place in a batch.

Every draw is stateless and seeded by `(seed, index of the image)`, so one seed gives one result
whatever the batch size, the order of the batches or the device count.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.types import Seeds

_GOLDEN = -1640531527  # 2³² / φ as int32: neighbouring numbers land far apart


def image_seeds(seed: Any, count: Any) -> Seeds:
    """Return one stateless seed an image.

    Args:
        seed: an integer, or int32 `(count, 2)` seeds, which come back unchanged.
        count: number of images, an integer or a scalar tensor.

    Returns:
        int32 `(count, 2)`.
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 2:
        return seed
    return tf.stack([tf.fill([count], seed), tf.range(count)], axis=1)


def fold(seeds: Seeds, number: Any) -> Seeds:
    """Derive other seeds from these: one for each restart, step or purpose `number`."""
    return seeds + tf.stack([tf.cast(number, tf.int32) * _GOLDEN, 0])


def uniform(seeds: Seeds, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
    """Draw float32 `(batch, *shape)` uniform in [low, high), each image from its own seed."""

    def draw(seed: Any) -> Any:
        return tf.random.stateless_uniform(shape, seed, low, high)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)


def normal(seeds: Seeds, shape: Any) -> Any:
    """Draw float32 `(batch, *shape)` standard normal, each image from its own seed."""

    def draw(seed: Any) -> Any:
        return tf.random.stateless_normal(shape, seed)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)
