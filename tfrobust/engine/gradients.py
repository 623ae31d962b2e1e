"""Gradients by the images, of a loss or of single logits; what is not finite counts as zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust import suites
from tfrobust.classifier import Classifier
from tfrobust.engine.losses import LossName, is_adversarial, loss_and_slope
from tfrobust.errors import UsageError
from tfrobust.types import Flags, Images, Labels, Logits


def loss_gradient(
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
    _, slope = loss_and_slope(logits, labels, targeted=targeted, loss=loss)
    gradient = pulled_back(tape, logits, images, slope)
    return gradient, is_adversarial(logits, labels, targeted=targeted)


def pulled_back(tape: tf.GradientTape, logits: Logits, images: Images, slope: Logits) -> Images:
    """Return the gradient by the images of what has this slope by the logits.

    Args:
        tape: which has watched the images.
        logits: `(batch, classes)`, computed under the tape.
        images: `(batch, height, width, channels)`.
        slope: `(batch, classes)`.

    Returns:
        The gradient `(batch, height, width, channels)`, 0 where it is NaN or infinite.

    Raises:
        UsageError: the classifier has no gradient.
    """
    return _finite(_connected(tape.gradient(logits, images, output_gradients=slope)))


def _connected(gradient: Any) -> Any:
    """Return a gradient; refuse a classifier that gives none."""
    if gradient is None:
        raise without_gradients("the attack")
    return gradient


def without_gradients(attack: str, *, asked: bool = False) -> UsageError:
    """Return the error of a white-box attack on a classifier without gradients.

    Args:
        attack: its name.
        asked: whether the classifier can only be asked, as an endpoint can.
    """
    such_as = " or ".join(suites.gradient_free())
    if asked:
        return UsageError(
            f"{attack} needs gradients, and an endpoint gives none; craft the images on a "
            "classifier of your own (--crafted-on NAME), or choose an attack that only asks"
            f"{f', such as {such_as}' if such_as else ''}"
        )
    return UsageError(
        f"{attack} needs gradients and this classifier has none; "
        f"choose a score- or decision-based attack{f', such as {such_as}' if such_as else ''}"
    )


def _finite(gradients: Any) -> Any:
    """Return the gradients with zeros for what is not finite; the sum shows whether all are finite.

    Where a network divides by zero in the backward pass, a step would otherwise leave [0, 1].
    """
    return tf.cond(
        tf.math.is_finite(tf.reduce_sum(gradients)),
        lambda: gradients,
        lambda: tf.where(tf.math.is_finite(gradients), gradients, 0.0),
    )


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
    gradients: Any = [
        _connected(tape.gradient(logits, images, output_gradients=row)) for row in rows
    ]
    return logits, _finite(tf.stack(gradients))
