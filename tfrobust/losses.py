"""What a gradient attack climbs, and the gradient itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Flags, Images, Labels, Logits, PerImage

LossName = Literal["ce", "margin", "dlr"]

# Float32 logits of one image differ in the last bits from batch to batch; see
# `clearly_adversarial`.
_ROUNDING = 1e-5


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
    others = logits + tf.one_hot(labels, tf.shape(logits)[1], -float("inf"), 0.0)
    return tf.reduce_logsumexp(others, axis=1) - tf.gather(logits, labels, batch_dims=1)


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
    others = logits + tf.one_hot(labels, tf.shape(logits)[1], -float("inf"), 0.0)
    return tf.reduce_max(others, axis=1) - tf.gather(logits, labels, batch_dims=1)


def difference_of_logits_ratio(logits: Logits, labels: Labels) -> PerImage:
    """Return the margin in units of the gap between the first and the third logit.

    DLR = (max_{k≠y} z_k − z_y) / (z_π1 − z_π3), for three classes or more: scaling the logits
    changes nothing. Croce & Hein (2020).

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.

    Example:
        >>> difference_of_logits_ratio(tf.constant([[3.0, 2.0, 1.0]]), tf.constant([0])).numpy()
        array([-0.5], dtype=float32)
    """
    top = tf.nn.top_k(logits, 3).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


_LOSSES: dict[str, Callable[[Logits, Labels], PerImage]] = {
    "ce": log_odds,
    "margin": margin,
    "dlr": difference_of_logits_ratio,
}


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
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(logits)
        value = _LOSSES[loss](logits, labels)
    slope = tape.gradient(value, logits)
    return (-value, -slope) if targeted else (value, slope)


def is_adversarial(logits: Logits, labels: Labels, *, targeted: bool) -> Flags:
    """Return which images are predicted as the attack wants it: the target, or not the label."""
    prediction = tf.argmax(logits, axis=1)
    return prediction == labels if targeted else prediction != labels


def clearly_adversarial(logits: Logits, labels: Labels, *, targeted: bool) -> Flags:
    """Return which images are adversarial by more than rounding could undo.

    A minimum-norm attack ends on the decision boundary, where the same image in a batch of
    another size may be predicted otherwise. What it keeps must win by 1e-5 of the largest logit.
    """
    lead = margin(logits, labels)
    lead = -lead if targeted else lead
    return lead > _ROUNDING * tf.reduce_max(tf.abs(logits), axis=1)


def ascend(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    targeted: bool,
    loss: LossName = "ce",
) -> tuple[Images, Flags]:
    """Return which way a loss rises, and the verdict, from one forward pass.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        labels: `(batch,)`: the true classes, or the targets where `targeted`.
        targeted: whether the loss is to fall instead.
        loss: `ce` (the log odds: cross-entropy's direction), `margin` or `dlr`.

    Returns:
        The gradient `(batch, height, width, channels)`, its sign turned for targets, and which
        images are adversarial already `(batch,)`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = classifier(images)
    gradient: Any = tape.gradient(
        logits, images, output_gradients=_slope(logits, labels, targeted=targeted, loss=loss)
    )
    return gradient, is_adversarial(logits, labels, targeted=targeted)


def _slope(logits: Logits, labels: Labels, *, targeted: bool, loss: LossName) -> Logits:
    if loss != "ce":
        return loss_and_slope(logits, labels, targeted=targeted, loss=loss)[1]
    # The derivative of log_odds spelt out: a dozen small operations less a step.
    classes = tf.shape(logits)[1]
    own = tf.one_hot(labels, classes)
    others = tf.nn.softmax(logits + tf.one_hot(labels, classes, -float("inf"), 0.0))
    return own - others if targeted else others - own


def class_gradients(
    classifier: Classifier, images: Images, slopes: Callable[[Logits], Any]
) -> tuple[Logits, Any]:
    """Return several gradients an image from one forward pass.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        slopes: logits `(batch, classes)` → float32 `(count, batch, classes)`, the linear functions
            of the logits to differentiate; `count` must be known when traced, and is the number
            of backward passes.

    Returns:
        The logits `(batch, classes)` and the gradients `(count, batch, height, width, channels)`.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = classifier(images)
    rows = tf.unstack(slopes(logits))
    gradients: Any = [tape.gradient(logits, images, output_gradients=row) for row in rows]
    return logits, tf.stack(gradients)
