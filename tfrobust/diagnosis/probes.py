"""Gradients and differences of a classifier, as they come: what is not finite stays so."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import forward
from tfrobust.classifiers.random_state import reseed
from tfrobust.classifiers.traces import Traces
from tfrobust.engine.losses import log_odds, margin
from tfrobust.engine.victim import Surrogate
from tfrobust.types import Images, Labels, Logits, PerImage

Loss = Literal["cross-entropy", "log odds", "margin"]
_PULLBACKS: Traces[Any] = Traces(most=16)
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
) -> np.ndarray:
    """Return the gradient of a loss by the images, float32 `(n, height, width, channels)`.

    Args:
        classifier: whose gradient reaches the images.
        images: float32 `(n, height, width, channels)`: one batch.
        labels: int64 `(n,)`.
        loss: which.
    """
    logits = tf.constant(np.asarray(forward(classifier)(images)))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = _LOSSES[loss](logits, tf.constant(labels, tf.int64))
    return pulled_back(classifier, images, tape.gradient(value, logits))


def pulled_back(classifier: Classifier, images: Images, slope: Logits) -> np.ndarray:
    """Return the gradient by the images of what has this slope by the logits.

    One function is traced for each classifier, whatever is differentiated.

    Args:
        classifier: whose gradient reaches the images.
        images: float32 `(n, height, width, channels)`.
        slope: float32 `(n, classes)`.
    """

    def trace() -> Any:
        shown = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
        slopes = tf.TensorSpec((None, classifier.num_classes), tf.float32)

        def pull(images: Images, slope: Logits) -> Images:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                logits = classifier(images)
            return tape.gradient(logits, images, output_gradients=slope)

        return tf.function(pull, input_signature=[shown, slopes])

    return np.asarray(_PULLBACKS.of(classifier, "pullback", trace)(images, slope))


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
) -> Slopes:
    """Return slopes along random corners of the cube, each pixel up or down by `step`.

    The lead is linear in the logits, so that only the network itself is curved. A random
    classifier draws the same in all calls. Pixels at the edge of [0, 1] are moved inside first.

    Args:
        classifier: whose gradient reaches the images.
        images: float32 `(n, height, width, channels)`: one batch.
        labels: int64 `(n,)`.
        step: in pixel values.
        directions: how many.
        seed: decides them.

    """
    inside = np.clip(images, step, 1 - step).astype(np.float32)
    logits = np.asarray(forward(classifier)(inside))
    lead = _lead_of(labels, _rivals(logits, labels), classifier.num_classes)

    def value(shown: Images) -> np.ndarray:
        reseed(classifier, seed)
        return (lead * np.asarray(forward(classifier)(shown), np.float64)).sum(axis=1)

    here = value(inside)
    reseed(classifier, seed)
    gradient = pulled_back(classifier, inside, lead.astype(np.float32))
    flat = gradient.astype(np.float64).reshape(len(images), -1)
    told, measured, changes = [], [], []
    for number in range(directions):
        draw = np.random.default_rng((seed, number))
        corner = draw.choice([-1.0, 1.0], size=images.shape).astype(np.float32)
        up, down = value(inside + step * corner), value(inside - step * corner)
        told.append((flat * corner.reshape(flat.shape)).sum(axis=1))
        measured.append((up - down) / (2 * step))
        changes.append(np.maximum(np.abs(up - here), np.abs(down - here)))
    size = float(np.abs(logits).max())
    return Slopes(np.array(told), np.array(measured), np.array(changes), here, size)


def _lead_of(labels: Labels, rivals: Labels, classes: int) -> np.ndarray:
    """Return the linear function of the logits that is the label's lead over its rival."""
    return np.eye(classes)[labels] - np.eye(classes)[rivals]


def _rivals(logits: np.ndarray, labels: Labels) -> Labels:
    others = logits.astype(np.float64, copy=True)
    others[np.arange(len(labels)), labels] = -np.inf
    return others.argmax(axis=1)
