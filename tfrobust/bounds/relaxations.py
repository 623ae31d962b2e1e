"""Lines below and above the functions that are not linear, between two bounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.bounds.around import Box


class Lines(NamedTuple):
    """lower · x ≤ h(x) ≤ upper · x + offset, each of the shape of the box."""

    lower: Any
    upper: Any
    offset: Any


def rectifier_lines(box: Box, leak: float) -> Lines:
    """Return lines around h(x) = x above 0 and leak · x below.

    Where the sign of x is known they are h itself. Elsewhere the upper one is the chord, and the
    lower one has the slope that leaves less room: 1 where u > −l, and else `leak` (Zhang et al.
    2018).

    Args:
        box: l ≤ x ≤ u.
        leak: from 0 to 1.

    Example:
        >>> rectifier_lines(Box(tf.constant([-1.0]), tf.constant([3.0])), 0.0).upper.numpy()
        array([0.75], dtype=float32)
    """
    lower, upper = box
    known = tf.where(lower >= 0.0, 1.0, leak)
    undecided = (lower < 0.0) & (upper > 0.0)
    width = tf.where(undecided, upper - lower, 1.0)
    chord = (upper - leak * lower) / width
    nearer = tf.where(upper > -lower, 1.0, leak)
    return Lines(
        lower=tf.where(undecided, nearer, known),
        upper=tf.where(undecided, chord, known),
        offset=tf.where(undecided, (leak - chord) * lower, 0.0),
    )


class Choice(NamedTuple):
    """The number that stands for the maximum of a window.

    Attributes:
        where: 1 at that number and 0 elsewhere, `(batch, windows, numbers, channels)`.
        certain: 1 where no other number can be larger, else 0, `(batch, windows, channels)`.
        most: the upper bound of the maximum, `(batch, windows, channels)`.
    """

    where: Any
    certain: Any
    most: Any


def chosen(box: Box, inside: Any) -> Choice:
    """Choose the number of the largest lower bound; of several, that of the largest upper bound.

    Args:
        box: of the numbers, `(batch, windows, numbers, channels)`.
        inside: bool `(windows, numbers, 1)`: which of them there are.
    """
    lower, upper = (tf.where(inside, bound, float("-inf")) for bound in box)
    floor = tf.reduce_max(lower, axis=2, keepdims=True)
    first = tf.argmax(tf.where(lower == floor, upper, float("-inf")), axis=2)
    where = tf.one_hot(first, lower.shape[2], axis=2, dtype=box.lower.dtype)
    others = tf.reduce_any((upper > floor) & (where == 0.0), axis=2)
    return Choice(where, tf.cast(~others, box.lower.dtype), tf.reduce_max(upper, axis=2))
