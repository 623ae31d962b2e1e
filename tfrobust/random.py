"""Randomness that belongs to an image, not to its place in a batch.

Every draw is stateless and seeded by `(seed, image)`, so the result of a seed does not depend on
the batch size, the order of the images or the number of devices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.types import Images, Seed, Seeds

_GOLDEN = -1640531527  # 2³² / φ as int32: neighbouring numbers land far apart


def image_seeds(seed: Seed, count: Any) -> Seeds:
    """Return one stateless seed per image.

    Args:
        seed: an integer, or int32 `(count, 2)` seeds, which come back unchanged.
        count: number of images, an integer or a scalar tensor.

    Returns:
        int32 `(count, 2)`.
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 2:
        return seed
    return numbered_seeds(seed, tf.range(count))


def numbered_seeds(seed: Seed, numbers: Any) -> Seeds:
    """Return one stateless seed per image, from its number in the data.

    Args:
        seed: an int32 scalar.
        numbers: int32 `(count,)`.

    Returns:
        int32 `(count, 2)`.
    """
    return tf.stack([tf.fill(tf.shape(numbers), seed), numbers], axis=1)


def content_seeds(seed: int, images: Images) -> Seeds:
    """Return one seed an image that depends on what the image shows, not on where it stands.

    Results then do not depend on the order of the images, nor on how many there are.

    Args:
        seed: an integer from 0 to 2³¹ − 1.
        images: float32 NumPy array `(n, height, width, channels)`.

    Returns:
        int32 NumPy array `(n, 2)`.
    """
    bits = np.ascontiguousarray(images).view(np.uint32).reshape(len(images), -1)
    odd = np.random.default_rng(0).integers(0, 2**31, bits.shape[1], dtype=np.uint32) * 2 + 1
    content = (bits * odd).sum(axis=1, dtype=np.uint32).view(np.int32)
    return np.stack([np.full(len(images), seed, np.int32), content], axis=1)


def fold(seeds: Seeds, number: Any) -> Seeds:
    """Derive other seeds from these: one for each restart, step or purpose `number`."""
    return seeds + tf.stack([tf.cast(number, tf.int32) * _GOLDEN, 0])


def run_seed(seeds: Seeds) -> Any:
    """Return one seed for the whole run, int32 scalar, for draws that all images share.

    A draw an image costs 25 µs an image. An attack of thousands of steps draws once a step
    instead, from `(run_seed(seeds), step)`, and lets every image use the same numbers: still
    nothing depends on the batch. Take it before the loop, whose batch may shrink to nothing.
    """
    return seeds[0, 0]


def uniform(seeds: Seeds, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
    """Draw float32 `(batch, *shape)` uniform in [low, high), each image from its own seed."""

    def draw(seed: Seed) -> Any:
        return tf.random.stateless_uniform(shape, seed, low, high)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)


def normal(seeds: Seeds, shape: Any) -> Any:
    """Draw float32 `(batch, *shape)` standard normal, each image from its own seed."""

    def draw(seed: Seed) -> Any:
        return tf.random.stateless_normal(shape, seed)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)
