"""The normal of the decision boundary at a point, estimated from decisions at random probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.types import Images, PerImage
from tfrobust_attacks.decision.starting_points import Oracle

DRAWN = 8  # probes drawn from one seed: the draws must not depend on the batch
_AT_ONCE = 2**20  # pixel values in one forward pass of probes, to bound the memory


def estimated_normal(
    oracle: Oracle, points: Images, draw: Callable[[Any], Images], *, probes: Any, width: PerImage
) -> Images:
    """Return Σ_b (φ_b − φ̄) u_b with φ_b = ±1 by whether x + σ u_b is adversarial.

    Where all probes agree, Σ_b φ_b u_b, the mean of which points nowhere.

    Args:
        oracle: asked `probes` times an image.
        points: x, `(batch, height, width, channels)`, near the boundary.
        draw: the number of a group of `DRAWN` probes → their u, `(DRAWN, height, width, channels)`.
        probes: how many, an integer or a scalar tensor.
        width: σ, `(batch,)`.
    """
    shape, pixels = tf.shape(points), points.shape[1] * points.shape[2] * points.shape[3]
    together = tf.maximum(1, _AT_ONCE // (DRAWN * pixels * tf.maximum(shape[0], 1)))
    groups = -(-probes // DRAWN)
    origin, size = tf.reshape(points, (-1, 1, pixels)), width[:, None, None]

    def body(asked: Any, sums: Any, verdicts: PerImage) -> Any:
        first = asked // DRAWN
        numbers = tf.range(first, tf.minimum(first + together, groups))
        drawn = tf.map_fn(draw, numbers, fn_output_signature=tf.float32)
        noise = tf.reshape(drawn, (-1, pixels))[: probes - asked]
        count = tf.shape(noise)[0]
        probed = tf.clip_by_value(origin + size * noise, 0.0, 1.0)
        asking = oracle.repeated(count)
        hit = asking.fooled(tf.reshape(probed, (-1, *points.shape[1:])))
        verdict = 2.0 * tf.cast(tf.reshape(hit, (-1, count)), tf.float32) - 1.0
        both = tf.stack([verdict, tf.ones_like(verdict)], 1)
        # What [0, 1] clips away was not tried.
        sums += tf.matmul(both, probed - origin)
        return asked + count, sums, verdicts + tf.reduce_sum(verdict, axis=1)

    start = (0, tf.zeros((shape[0], 2, pixels)), tf.zeros(shape[:1]))
    _, sums, verdicts = tf.while_loop(
        lambda asked, *_: asked < probes, body, start, parallel_iterations=1
    )
    mean = verdicts / tf.cast(probes, tf.float32)
    baseline = tf.where(tf.abs(mean) < 1.0, mean, 0.0)
    return tf.reshape(sums[:, 0] - baseline[:, None] * sums[:, 1], shape)
