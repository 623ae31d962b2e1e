"""The losses that attacks raise, and which logits count as adversarial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from tfrobust.engine.rounding import ROUNDING, size_of
from tfrobust.types import Flags, Labels, Logits, PerImage

LossName = Literal["ce", "margin", "dlr"]

_FLAT = 1e-12  # logits that are all equal have no spread to divide by
_APART = 1e9  # logits of masked classes lie so far below the others that a slope by them is zero


def without_label(logits: Logits, labels: Labels) -> Logits:
    """Return the logits with −∞ for the label, `(batch, classes)`: what the other classes get."""
    return logits + tf.one_hot(labels, tf.shape(logits)[1], -float("inf"), 0.0)


def log_odds(logits: Logits, labels: Labels) -> PerImage:
    """Return the log of the odds against the label: log Σ_{k≠y} exp z_k − z_y.

    Cross-entropy is softplus of it, so that both have the same gradient up to a positive factor
    an image. That factor is the probability of a wrong answer: for a confident network it rounds
    to zero in float32, and cross-entropy's gradient with it. This one does not vanish.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.

    Returns:
        float32 `(batch,)`; positive where the label has less than half of the probability.

    Example:
        >>> log_odds(tf.constant([[2.0, 1.0]]), tf.constant([0])).numpy()
        array([-1.], dtype=float32)
    """
    return _log_odds_and_slope(logits, labels)[0]


def margin(logits: Logits, labels: Labels) -> PerImage:
    """Return by how much the label loses: max_{k≠y} z_k − z_y.

    Carlini & Wagner (2017). Positive where the image is misclassified.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.

    Example:
        >>> margin(tf.constant([[2.0, 1.0]]), tf.constant([0])).numpy()
        array([-1.], dtype=float32)
    """
    own, other = own_and_best_other(logits, labels)
    return other - own


def difference_of_logits_ratio(logits: Logits, labels: Labels) -> PerImage:
    """Return the margin in units of the gap between the first and the third logit.

    DLR = (max_{k≠y} z_k − z_y) / (z_π1 − z_π3): scaling the logits changes nothing. With two
    classes there is no third logit, and it is the margin. Croce & Hein (2020).

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.

    Example:
        >>> difference_of_logits_ratio(tf.constant([[3.0, 2.0, 1.0]]), tf.constant([0])).numpy()
        array([-0.5], dtype=float32)
    """
    if logits.shape[1] == 2:
        return margin(logits, labels)
    top = tf.nn.top_k(logits, 3).values
    return margin(logits, labels) / _unit(top[:, 0] - top[:, 2])


def targeted_difference_of_logits_ratio(
    logits: Logits, labels: Labels, targets: Labels
) -> PerImage:
    """Return the target's lead over the label in units of the spread of the largest logits.

    (z_t − z_y) / (z_π1 − (z_π3 + z_π4) / 2): Croce & Hein (2020). With three classes the unit is
    z_π1 − z_π3, with two it is 1.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`: the classes to leave.
        targets: `(batch,)`: the classes to reach.
    """
    lead = tf.gather(logits, targets, batch_dims=1) - tf.gather(logits, labels, batch_dims=1)
    classes = logits.shape[1]
    if classes == 2:
        return lead
    top = tf.nn.top_k(logits, min(classes, 4)).values
    return lead / _unit(top[:, 0] - tf.reduce_mean(top[:, 2:], axis=1))


def _unit(spread: PerImage) -> PerImage:
    """Return what a lead is divided by.

    Beside a class that is masked by float32's least number, the quotient and its derivative would
    be rounded to zero.
    """
    return tf.minimum(spread, _APART) + _FLAT


def loss_and_slope(
    logits: Logits, labels: Labels, *, targeted: bool, loss: LossName = "ce"
) -> tuple[PerImage, Logits]:
    """Return a loss to raise, and its derivative by the logits.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`: the true classes, or the targets where `targeted`.
        targeted: whether the loss of the labels is to fall instead: its sign is turned.
        loss: `ce` (the log odds), `margin` or `dlr`.

    Returns:
        The loss `(batch,)` and its derivative `(batch, classes)`.
    """
    value, slope = _LOSSES[loss](logits, labels)
    return (-value, -slope) if targeted else (value, slope)


# Derivatives are spelt out where they are short: a tape costs a dozen small operations a step.


def _log_odds_and_slope(logits: Logits, labels: Labels) -> tuple[PerImage, Logits]:
    own = tf.one_hot(labels, tf.shape(logits)[1])
    others = without_label(logits, labels)
    total = tf.reduce_logsumexp(others, axis=1, keepdims=True)
    value = total[:, 0] - tf.gather(logits, labels, batch_dims=1)
    return value, tf.exp(others - total) - own


def _margin_and_slope(logits: Logits, labels: Labels) -> tuple[PerImage, Logits]:
    rival = tf.argmax(without_label(logits, labels), axis=1)
    slope = tf.one_hot(rival, tf.shape(logits)[1]) - tf.one_hot(labels, tf.shape(logits)[1])
    return tf.reduce_sum(slope * logits, axis=1), slope


def _ratio_and_slope(logits: Logits, labels: Labels) -> tuple[PerImage, Logits]:
    return value_and_slope(lambda logits: difference_of_logits_ratio(logits, labels), logits)


def value_and_slope(function: Callable[[Logits], PerImage], logits: Logits) -> Any:
    """Return any function of the logits `(batch,)` and its derivative `(batch, classes)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(logits)
        value = function(logits)
    return value, tape.gradient(value, logits)


_LOSSES: dict[str, Callable[[Logits, Labels], tuple[PerImage, Logits]]] = {
    "ce": _log_odds_and_slope,
    "margin": _margin_and_slope,
    "dlr": _ratio_and_slope,
}


def is_adversarial(logits: Logits, labels: Labels, *, targeted: bool) -> Flags:
    """Return which images are predicted as the attack wants it: the target, or not the label."""
    prediction = tf.argmax(logits, axis=1)
    return prediction == labels if targeted else prediction != labels


def clearly_adversarial(logits: Logits, labels: Labels, *, targeted: bool) -> Flags:
    """Return which images are adversarial by more than rounding could undo.

    What a minimum-norm attack keeps must win by 1e-5 of the size of the two logits that are
    compared, the label's and the largest other one; see `tfrobust.engine.rounding`.
    """
    own, other = own_and_best_other(logits, labels)
    lead = own - other if targeted else other - own
    return lead > ROUNDING * size_of(own, other)


def own_and_best_other(logits: Logits, labels: Labels) -> tuple[PerImage, PerImage]:
    """Return the label's logit and the largest of the other classes."""
    own = tf.gather(logits, labels, batch_dims=1)
    return own, tf.reduce_max(without_label(logits, labels), axis=1)
