"""By how much two logits must differ to be ordered: float32 rounds differently in every batch size.

A minimum-norm attack ends on the decision boundary, where the same image in a batch of another size
may be predicted otherwise. By how much depends on the two logits that meet there, and on how large
they were before the attack brought them near zero, as it does where an answer is z and −z. It does
not depend on any other logit: those of masked classes are −10⁹ and more.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifiers.held_rows import HeldRows
from tfrobust.types import PerImage

ROUNDING = 1e-5  # of two logits: what their last bits may differ by, with room
# Logits that are compared count as no smaller than these: the sizes of the clean ones, `(batch,)`.
CLEAN_SIZES: HeldRows[PerImage] = HeldRows("clean_sizes")


def size_of(first: Any, second: Any) -> Any:
    """Return the size of two logits by which their rounding is measured.

    Args:
        first: float32 `(…, batch)`.
        second: the same shape.

    Returns:
        The same shape: the larger of both without its sign, and no less than what is held.

    Example:
        >>> size_of(tf.constant([2.0]), tf.constant([-3.0])).numpy()
        array([3.], dtype=float32)
    """
    larger, held = tf.maximum(tf.abs(first), tf.abs(second)), CLEAN_SIZES.now
    if held is None:
        return larger
    # An attack may compare other images than its input, for example several starts of each.
    return tf.cond(
        tf.equal(tf.size(held), tf.shape(larger)[-1]),
        lambda: tf.maximum(larger, held),
        lambda: larger,
    )
