"""What a gradient attack climbs, and the gradient itself."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Flags, Images, Labels, Logits, PerImage


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


def is_adversarial(logits: Logits, labels: Labels, *, targeted: bool) -> Flags:
    """Return which images are predicted as the attack wants it: the target, or not the label."""
    prediction = tf.argmax(logits, axis=1)
    return prediction == labels if targeted else prediction != labels


def ascend(
    classifier: Classifier, images: Images, labels: Labels, *, targeted: bool
) -> tuple[Images, Flags]:
    """Return which way cross-entropy rises, and the verdict, from one forward pass.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        labels: `(batch,)`: the true classes, or the targets where `targeted`.
        targeted: whether cross-entropy is to fall instead.

    Returns:
        The gradient of `log_odds` `(batch, height, width, channels)`, its sign turned for
        targets, and which images are adversarial already `(batch,)`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = classifier(images)
    # The derivative of log_odds by the logits, spelt out: a dozen small operations less a step.
    classes = tf.shape(logits)[1]
    own = tf.one_hot(labels, classes)
    others = tf.nn.softmax(logits + tf.one_hot(labels, classes, -float("inf"), 0.0))
    rise = own - others if targeted else others - own
    gradient: Any = tape.gradient(logits, images, output_gradients=rise)
    return gradient, is_adversarial(logits, labels, targeted=targeted)
