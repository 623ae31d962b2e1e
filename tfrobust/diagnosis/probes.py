"""Gradients and differences of a classifier, as they come: what is not finite stays so."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.random_state import reseed
from tfrobust.engine.losses import log_odds, margin
from tfrobust.engine.victim import Surrogate
from tfrobust.types import Images, Labels, PerImage

Loss = Literal["cross-entropy", "log odds", "margin"]
_LOSSES: dict[Loss, Any] = {
    "cross-entropy": lambda z, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, z),
    "log odds": log_odds,
    "margin": margin,
}


def differentiated(classifier: Classifier) -> Classifier:
    """Return what white-box attacks differentiate: the classifier, or it with its surrogate."""
    if classifier.differentiable or classifier.surrogate is None:
        return classifier
    return Surrogate(classifier, classifier.surrogate)


def gradients(
    classifier: Classifier, images: Images, labels: Labels, loss: Loss = "margin"
) -> np.ndarray | None:
    """Return the gradient of a loss by the images, `(n, height, width, channels)`; `None`: none.

    Args:
        classifier: any.
        images: float32 `(n, height, width, channels)`: one batch.
        labels: int64 `(n,)`.
        loss: which.
    """

    @tf.function
    def differentiate(images: Images, labels: Labels) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            value = _LOSSES[loss](classifier(images), labels)
        return tape.gradient(value, images)

    found = differentiate(tf.constant(images), tf.constant(labels, tf.int64))
    return None if found is None else tf.convert_to_tensor(found).numpy()


@dataclasses.dataclass(frozen=True)
class Slopes:
    """How the lead of the label over its rival changes along random directions.

    Attributes:
        told: float64 `(directions, n)`: as the backward pass has it.
        measured: float64 `(directions, n)`: as central differences have it.
        changes: float64 `(directions, n)`: by how much the lead changes within one step.
        lead: float64 `(n,)`: the lead itself.
        size: the largest logit, as a size.
    """

    told: np.ndarray
    measured: np.ndarray
    changes: np.ndarray
    lead: PerImage
    size: float


def slopes(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    step: float,
    directions: int,
    seed: int,
) -> Slopes | None:
    """Return slopes along random corners of the cube, each pixel up or down by `step`.

    The lead is linear in the logits, so that only the network itself is curved. A random
    classifier draws the same in all calls. Pixels at the edge of [0, 1] are moved inside first.

    Args:
        classifier: any.
        images: float32 `(n, height, width, channels)`: one batch.
        labels: int64 `(n,)`.
        step: in pixel values.
        directions: how many.
        seed: decides them.

    Returns:
        The slopes; `None` where the classifier has no gradient.
    """
    inside = tf.constant(np.clip(images, step, 1 - step))
    logits = np.asarray(classifier(inside))
    rivals = _rivals(logits, labels)
    functional = tf.one_hot(labels, classifier.num_classes) - tf.one_hot(
        rivals, classifier.num_classes
    )
    lead = tf.function(lambda shown: tf.reduce_sum(functional * classifier(shown), axis=1))

    def differentiate(shown: Images) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(shown)
            value = tf.reduce_sum(functional * classifier(shown), axis=1)
        return tape.gradient(value, shown)

    reseed(classifier, seed)
    gradient = tf.function(differentiate)(inside)
    if gradient is None:
        return None
    flat = tf.convert_to_tensor(gradient).numpy().astype(np.float64).reshape(len(images), -1)
    here = _value(lead, classifier, seed, inside)
    told, measured, changes = [], [], []
    for number in range(directions):
        draw = np.random.default_rng((seed, number))
        corner = draw.choice([-1.0, 1.0], size=images.shape).astype(np.float32)
        up = _value(lead, classifier, seed, inside + step * corner)
        down = _value(lead, classifier, seed, inside - step * corner)
        told.append((flat * corner.reshape(flat.shape)).sum(axis=1))
        measured.append((up - down) / (2 * step))
        changes.append(np.maximum(np.abs(up - here), np.abs(down - here)))
    return Slopes(
        np.array(told), np.array(measured), np.array(changes), here, float(np.abs(logits).max())
    )


def _value(lead: Any, classifier: Classifier, seed: int, images: Any) -> np.ndarray:
    reseed(classifier, seed)
    return lead(images).numpy().astype(np.float64)


def _rivals(logits: np.ndarray, labels: Labels) -> Labels:
    others = logits.astype(np.float64, copy=True)
    others[np.arange(len(labels)), labels] = -np.inf
    return others.argmax(axis=1)
