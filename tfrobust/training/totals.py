"""Loss and accuracy of an epoch, summed over its batches."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Totals:
    """Sums over the batches of an epoch; they stay on the device until `means` is called."""

    def __init__(self) -> None:
        self._sums: Any = None

    def add(self, sums: Any) -> None:
        """Add `(loss, right, images)` of one batch."""
        self._sums = sums if self._sums is None else self._sums + sums

    def means(self) -> dict[str, float]:
        """Return the mean `loss` and `accuracy`."""
        loss, right, images = self._sums.numpy().tolist()
        return {"loss": loss / images, "accuracy": right / images}


def sums(losses: Any, logits: Any, labels: Any, real: Any) -> Any:
    """Return the terms of `Totals`: the sum of the losses, the right answers and the images.

    Args:
        losses: `(batch,)`.
        logits: `(batch, classes)`.
        labels: `(batch,)`.
        real: `(batch,)`: 1 for the images that count, 0 for others.
    """
    counted = tf.cast(real, tf.float64)
    right = tf.cast(tf.argmax(logits, 1) == labels, tf.float64)
    loss = tf.reduce_sum(tf.cast(losses, tf.float64) * counted)
    return tf.stack([loss, tf.reduce_sum(right * counted), tf.reduce_sum(counted)])
