"""The divergence between a network's predictions for two images."""

from __future__ import annotations

import tensorflow as tf

from tfrobust.types import Logits, PerImage


def divergence(reference: Logits, logits: Logits) -> PerImage:
    """Return KL(p ‖ q) = Σ_k p_k (log p_k − log q_k), p and q the softmax of these.

    Args:
        reference: `(batch, classes)`, of p.
        logits: `(batch, classes)`, of q.

    Returns:
        float32 `(batch,)`, ≥ 0 but for rounding. It can be differentiated by both.

    Example:
        >>> divergence(tf.constant([[0.0, 0.0]]), tf.constant([[0.0, 1.0]])).numpy().round(4)
        array([0.1201], dtype=float32)
    """
    log_p, log_q = tf.nn.log_softmax(reference), tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1)


def divergence_slope(reference: Logits, logits: Logits) -> Logits:
    """Return the derivative of `divergence` by `logits`: q − p, `(batch, classes)`."""
    return tf.nn.softmax(logits) - tf.nn.softmax(reference)
