"""Whether two classifiers answer alike, as far as logits tell."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Flags, Logits


def agree(first: Logits, second: Logits, tolerance: float) -> Flags:
    """Tell which rows of logits are the same but for rounding.

    A difference is measured by the two logits that are compared and by the largest of the row,
    which decides the answer. Logits of masked classes, −10⁹ say, would excuse any difference.

    Args:
        first: `(n, classes)`.
        second: the same shape.
        tolerance: the relative difference that rounding may make.

    Returns:
        bool `(n,)`.

    Example:
        >>> agree(np.array([[2.0, -1e9]]), np.array([[2.1, -1e9]]), 1e-4)
        array([False])
    """
    size = np.maximum(np.abs(first), np.abs(second))
    decisive = np.abs(first.max(axis=1, keepdims=True))
    with np.errstate(over="ignore"):  # two of float32's least numbers
        near = np.abs(first - second) <= tolerance * (1.0 + np.maximum(size, decisive))
    return np.asarray((near | (first == second)).all(axis=1))


def answers_differ(classifier: Classifier) -> bool:
    """Tell whether a classifier answers twice differently, by more than rounding."""
    shape = (8, *classifier.image_shape)
    probe = tf.constant(np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    first, second = np.asarray(classifier(probe)), np.asarray(classifier(probe))
    return not agree(first, second, 1e-4).all()
