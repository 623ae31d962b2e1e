"""The nearest other class, which DeepFool, FAB, Carlini & Wagner's attack and EAD look for.

Where the classifier is linear, class k is (z_y − z_k) / ‖∇(z_k − z_y)‖_q away, q dual to the
norm. The class with the second largest logit is not always the nearest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import class_gradients
from tfrobust.engine.losses import without_label
from tfrobust.engine.rounding import size_of
from tfrobust.norms import TINY, ball
from tfrobust.types import Images, Labels, Logits, PerImage


def likely_rivals(logits: Logits, labels: Labels, count: int) -> Labels:
    """Return the most likely other classes, int64 `(batch, min(count, classes − 1))`.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`.
        count: number of classes to return.
    """
    largest = tf.nn.top_k(without_label(logits, labels), min(count, logits.shape[1] - 1))
    return tf.cast(largest.indices, tf.int64)


def runs_of(restarts: Any, targets: int) -> Any:
    """Return restarts × targets, or less where a loop of int32 cannot count that far.

    Args:
        restarts: 1 or more, an integer or an int32 scalar tensor, whose product would wrap around.
        targets: of each restart.

    Example:
        >>> runs_of(5, 9)
        45
    """
    most = tf.int32.max // max(targets, 1)
    fewer = min(restarts, most) if isinstance(restarts, int) else tf.minimum(restarts, most)
    return fewer * targets


def slopes_towards(rivals: Labels, labels: Labels, classes: int) -> Any:
    """Return z_k − z_y for every rival k, as slopes.

    Args:
        rivals: `(batch, count)`.
        labels: `(batch,)`.
        classes: number of classes of the classifier.

    Returns:
        float32 `(count, batch, classes)`: 1 at the class k, −1 at the label.
    """
    return tf.one_hot(tf.transpose(rivals), classes) - tf.one_hot(labels, classes)


def linear_rivals(
    classifier: Classifier, images: Images, labels: Labels, *, norm: str, candidates: int
) -> tuple[Logits, Any, Any, Any]:
    """Make z_k − z_y linear for the largest logits, by one forward and several backward passes.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        labels: `(batch,)`.
        norm: its dual norm measures the gradients.
        candidates: number of classes to consider, the label included; at most all classes.

    Returns:
        The logits `(batch, classes)`; for every rival the slope `(rivals, batch, classes)`, the
        gradient `(rivals, batch, height, width, channels)` and its dual norm `(rivals, batch)`.
    """

    def slopes(logits: Logits) -> Any:
        rivals = likely_rivals(logits, labels, candidates - 1)
        return slopes_towards(rivals, labels, classifier.num_classes)

    logits, gradients = class_gradients(classifier, images, slopes)
    shape = tf.shape(gradients)
    flat = tf.reshape(gradients, tf.concat([shape[:1] * shape[1], shape[2:]], axis=0))
    steepness = tf.reshape(ball(norm).dual(flat), shape[:2])
    return logits, slopes(logits), gradients, tf.maximum(steepness, TINY)


class Boundary(NamedTuple):
    """The nearest linearised boundary of each image: where ⟨normal, x′ − x⟩ = gap."""

    gap: PerImage
    normal: Images
    steepness: PerImage  # the normal's dual norm: gap / steepness is the distance


def nearest_boundary(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    norm: str,
    candidates: int,
    beyond: float = 0.0,
) -> Boundary:
    """Return the boundary with the nearest of the likely classes; an image may be on either side.

    Args:
        classifier: a differentiable classifier.
        images: `(batch, height, width, channels)`.
        labels: `(batch,)`.
        norm: the norm that measures the distance to a boundary.
        candidates: number of classes to consider, the label included; at most all classes.
        beyond: how far beyond the boundary to aim, as a share of the two logits that meet there.
    """
    logits, slopes, normals, steepness = linear_rivals(
        classifier, images, labels, norm=norm, candidates=candidates
    )
    pairs = slopes * logits  # z_k at the rival, −z_y at the label
    sizes = size_of(tf.reduce_max(pairs, axis=2), tf.reduce_min(pairs, axis=2))
    gaps = beyond * sizes - tf.reduce_sum(pairs, axis=2)
    nearest = tf.argmin(tf.abs(gaps) / steepness, axis=0, output_type=tf.int32)
    chosen = tf.stack([nearest, tf.range(tf.size(nearest))], axis=1)
    return Boundary(*(tf.gather_nd(values, chosen) for values in (gaps, normals, steepness)))


def logit_worth(
    classifier: Classifier, images: Images, labels: Labels, *, norm: str, candidates: int = 10
) -> tuple[Logits, Any]:
    """Return the distance that one logit is worth for each class: 1 / ‖∇(z_k − z_y)‖ at the image.

    Classes that are not candidates get the mean over the candidates.

    Returns:
        The logits and the worth, both `(batch, classes)`.
    """
    logits, slopes, _, steepness = linear_rivals(
        classifier, images, labels, norm=norm, candidates=candidates
    )
    known = tf.nn.relu(slopes)  # 1 at the rival
    own = tf.reduce_sum(known / steepness[:, :, None], axis=0)
    return logits, tf.where(own > 0, own, tf.reduce_mean(1.0 / steepness, axis=0)[:, None])
