"""How fast a classifier is on this device: seconds of a forward and of a backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.engine.gradients import loss_gradient
from tfrobust.engine.victim import Surrogate
from tfrobust.evaluation.blocks.block import BlockImages
from tfrobust.evaluation.planning.records import Rates

Clock = Callable[[], float]  # returns seconds, such as time.perf_counter
_SECONDS = 1.0  # that one rate is measured for
_MOST = 200  # calls


def measured_rates(
    classifier: Classifier, block: BlockImages, *, gradients: bool, clock: Clock
) -> Rates:
    """Measure a classifier with one batch.

    Args:
        classifier: any; its surrogate's backward pass is measured where it has none.
        block: the batch.
        gradients: whether an attack asks for any.
        clock: tells the time.
    """
    images, count = block.images, len(block.images)
    forward = seconds_of(lambda: predict(classifier, images, count), clock)
    backward = None
    if gradients and (victim := _differentiable(classifier)) is not None:
        batch, classes = tf.constant(images), tf.constant(block.labels, tf.int64)
        call = tf.function(
            lambda images, labels: loss_gradient(victim, images, labels, targeted=False)[0]
        )
        both = seconds_of(lambda: call(batch, classes).numpy(), clock)
        backward = max(0.0, both - forward) / count
    return Rates(batch_size=count, forward=forward / count, backward=backward)


def seconds_of(call: Callable[[], Any], clock: Clock) -> float:
    """Return the median seconds of a call, repeated for about a second after a first one."""
    call()  # traces, and lets the device choose its kernels
    began = clock()
    taken: list[float] = []
    while not taken or (clock() - began < _SECONDS and len(taken) < _MOST):
        start = clock()
        call()
        taken.append(clock() - start)
    return float(np.median(taken))


def _differentiable(classifier: Classifier) -> Classifier | None:
    if classifier.differentiable:
        return classifier
    if classifier.surrogate is None:
        return None
    return Surrogate(classifier, classifier.surrogate)
