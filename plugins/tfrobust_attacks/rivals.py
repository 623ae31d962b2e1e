"""Which other class is nearest: what DeepFool, Carlini & Wagner's attack and EAD share.

Where the classifier is linear, class k is (z_y − z_k) / ‖∇(z_k − z_y)‖_q away, q dual to the
norm. The class with the second largest logit need not be the nearest.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.losses import class_gradients
from tfrobust.norms import ball
from tfrobust.types import Images, Labels, Logits

_TINY = 1e-30  # keeps the distance finite where no pixel matters


def rival_slopes(logits: Logits, labels: Labels, count: int) -> Any:
    """Return z_k − z_y of the `count` largest other logits, as slopes.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.
        count: how many, from 1 to classes − 1.

    Returns:
        float32 `(count, batch, classes)`: 1 at the class k, −1 at the label.
    """
    classes = tf.shape(logits)[1]
    others = logits + tf.one_hot(labels, classes, -float("inf"), 0.0)
    rivals = tf.transpose(tf.nn.top_k(others, count).indices)
    return tf.one_hot(rivals, classes) - tf.one_hot(labels, classes)


def linear_rivals(
    classifier: Classifier, images: Images, labels: Labels, *, norm: str, candidates: int
) -> tuple[Logits, Any, Any, Any]:
    """Make z_k − z_y linear for the largest logits, by one forward and several backward passes.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        labels: `(batch,)`.
        norm: whose dual measures the gradients.
        candidates: classes looked at, the label among them; at most all are.

    Returns:
        The logits `(batch, classes)`; of every rival the slope `(rivals, batch, classes)`, the
        gradient `(rivals, batch, height, width, channels)` and its dual norm `(rivals, batch)`.
    """
    count = min(candidates, classifier.num_classes) - 1

    def slopes(logits: Logits) -> Any:
        return rival_slopes(logits, labels, count)

    logits, gradients = class_gradients(classifier, images, slopes)
    shape = tf.shape(gradients)
    flat = tf.reshape(gradients, tf.concat([shape[:1] * shape[1], shape[2:]], axis=0))
    steepness = tf.reshape(ball(norm).dual(flat), shape[:2])
    return logits, slopes(logits), gradients, tf.maximum(steepness, _TINY)


def logit_worth(
    classifier: Classifier, images: Images, labels: Labels, *, norm: str, candidates: int = 10
) -> tuple[Logits, Any]:
    """Return what distance a logit is worth for each class: 1 / ‖∇(z_k − z_y)‖ at the image.

    Classes that are no candidates get the mean of those that are.

    Returns:
        The logits and the worth, both `(batch, classes)`.
    """
    logits, slopes, _, steepness = linear_rivals(
        classifier, images, labels, norm=norm, candidates=candidates
    )
    known = tf.nn.relu(slopes)  # 1 at the rival
    own = tf.reduce_sum(known / steepness[:, :, None], axis=0)
    return logits, tf.where(own > 0, own, tf.reduce_mean(1.0 / steepness, axis=0)[:, None])
