"""The exact search for the two features that `tfrobust_attacks.minimum_norm.jsma` changes next."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.norms import TINY
from tfrobust.types import Flags, Labels, PerImage

_ANCHORS = 8  # features paired with all others at a time
_BARRED = -1e30
_WIDEST = 8  # the ratio t goes to 4^±8 in search of a first pair


class Pair(NamedTuple):
    """The best pair of features of each image."""

    first: Labels
    second: Labels
    value: PerImage  # 0 where no pair is admissible


class _Search(NamedTuple):
    best: Pair
    left: Any  # 0 for a feature that may be tried next, very negative for the others
    ratio: Any  # t, (batch, 1)
    over: Flags  # no remaining pair can be better


def best_pair(gain: Any, loss: Any, free: Any) -> Pair:
    """Return the pair of free features p ≠ q with the largest product of two positive sums.

    max (gain_p + gain_q) (loss_p + loss_q), both sums > 0

    The search is exact but computes only a few pairs. For any t > 0 let s = t gain + loss / t.
    Because √(A B) ≤ (t A + B / t) / 2, a pair is worth at most ((s_p + s_q) / 2)², so one of the
    two has s ≥ √value. Features are therefore tried in the order of s, each with all others, until
    s of the remaining ones is at most the root of the best value. The bound is tight where
    t A = B / t, so t is set from the best pair.

    Args:
        gain: float32 `(batch, features)`, 2 features or more.
        loss: float32 `(batch, features)`.
        free: bool `(batch, features)`.

    Returns:
        The pair; its value refers to `gain` and `loss` scaled to a largest free entry of 1.

    Example:
        >>> best_pair([[1.0, 2.0, 3.0]], [[1.0, 2.0, -9.0]], [[True, True, True]]).second.numpy()
        array([0])
    """
    free = tf.cast(free, tf.float32)
    gain, loss = _scaled(gain, free), _scaled(loss, free)
    images = tf.shape(gain)[0]
    nothing = tf.zeros([images], tf.int64)
    start = _Search(
        Pair(nothing, nothing, tf.zeros([images])),
        tf.zeros_like(gain),
        tf.ones([images, 1]),
        tf.zeros([images], tf.bool),
    )
    return tf.while_loop(
        lambda number, search: (number < gain.shape[1]) & ~tf.reduce_all(search.over),
        lambda number, search: (number + 1, _try_next(number, search, gain, loss)),
        (0, start),
        parallel_iterations=1,
    )[1].best


def _scaled(numbers: Any, free: Any) -> Any:
    """Divide by the largest free entry, so that no product underflows; bar the other entries."""
    numbers *= free
    largest = tf.reduce_max(tf.abs(numbers), axis=1, keepdims=True)
    return numbers * (1.0 / tf.maximum(largest, TINY)) + (1.0 - free) * _BARRED


def _try_next(number: Any, search: _Search, gain: Any, loss: Any) -> _Search:
    """Pair the features with the largest s with all others."""
    features = gain.shape[1]
    count = min(_ANCHORS, features - 1)
    order = search.ratio * gain + loss / search.ratio + search.left
    falling, anchors = tf.nn.top_k(order, count + 1)
    anchors = anchors[:, :count]
    themselves = tf.one_hot(anchors, features, on_value=_BARRED)
    sums_of_gain = tf.gather(gain, anchors, batch_dims=1)[..., None] + gain[:, None] + themselves
    sums_of_loss = tf.gather(loss, anchors, batch_dims=1)[..., None] + loss[:, None]
    values = tf.nn.relu(sums_of_gain) * tf.nn.relu(sums_of_loss)
    values = tf.reshape(values, (tf.shape(gain)[0], count * features))
    top = tf.argmax(values, axis=1)
    anchor = tf.gather(anchors, top // features, batch_dims=1)
    pair = Pair(tf.cast(anchor, tf.int64), top % features, tf.gather(values, top, batch_dims=1))
    better = ~search.over & (pair.value > search.best.value)
    best = Pair(*(tf.where(better, new, old) for new, old in zip(pair, search.best, strict=True)))
    return _Search(
        best,
        search.left + tf.reduce_sum(themselves, axis=1),
        _next_ratio(number, best, gain, loss),
        search.over | ~(falling[:, count] > tf.sqrt(best.value)),
    )


def _next_ratio(number: Any, best: Pair, gain: Any, loss: Any) -> Any:
    """Return the t that makes the best pair's bound tight; without a pair 1/4, 4, 1/16, 16 etc."""
    pair = tf.stack([best.first, best.second], axis=1)
    tight = tf.sqrt(
        tf.reduce_sum(tf.gather(loss, pair, batch_dims=1), axis=1)
        / tf.reduce_sum(tf.gather(gain, pair, batch_dims=1), axis=1)
    )
    power = tf.cast(tf.minimum(number // 2 + 1, _WIDEST), tf.float32)
    blind = 4.0 ** tf.where(number % 2 == 0, -power, power)
    return tf.where(best.value > 0.0, tight, blind)[:, None]
