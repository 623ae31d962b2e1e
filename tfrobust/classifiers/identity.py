"""The identity of a classifier: its logits for fixed images, its weights, or its path.

Logits identify a classifier best: they do not depend on the file format or on wrappers. A
stochastic classifier has different logits at each call, so its path and weights identify it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.types import Flags, Images, ImageShape, Logits

_PROBES = 8  # noise images
_SERVED = 16  # noise images that compare a network with the served one
_ONE_PROCESS, _TWO_GRAPHS = 1e-4, 1e-3  # relative differences that rounding may make
SHOWN = 64  # images of an evaluation


def agree(first: Logits, second: Logits, tolerance: float) -> Flags:
    """Return which rows of logits are the same except for rounding.

    A difference is relative to the two compared logits and to the largest logit of the row, which
    decides the class. Logits of masked classes, such as −10⁹, would otherwise hide any difference.

    Args:
        first: `(n, classes)`.
        second: the same shape.
        tolerance: the relative difference that rounding may make.

    Returns:
        bool `(n,)`.

    Example:
        >>> agree(np.array([[2.0, -1e9]]), np.array([[2.1, -1e9]]), 1e-4)
        array([False])
    """
    size = np.maximum(np.abs(first), np.abs(second))
    decisive = np.abs(first.max(axis=1, keepdims=True))
    with np.errstate(over="ignore"):  # two of float32's least numbers
        near = np.abs(first - second) <= tolerance * (1.0 + np.maximum(size, decisive))
    return np.asarray((near | (first == second)).all(axis=1))


def probes(image_shape: ImageShape, count: int = _PROBES) -> Images:
    """Return noise images, the same ones each time, as a NumPy array."""
    return np.random.default_rng(0).uniform(size=(count, *image_shape)).astype(np.float32)


def answers_differ(classifier: Classifier) -> bool:
    """Tell whether a classifier answers twice differently, by more than rounding."""
    return logits_differ(classifier, classifier.image_shape)


def logits_differ(answer: Callable[[Images], Logits], image_shape: ImageShape) -> bool:
    """Tell whether a function answers twice differently, before it is a classifier's.

    Args:
        answer: float32 `(batch, height, width, channels)` → logits.
        image_shape: `(height, width, channels)`.
    """
    images = tf.constant(probes(image_shape))
    first, second = np.asarray(answer(images)), np.asarray(answer(images))
    return not agree(first, second, _ONE_PROCESS).all()


def answers_of(classifier: Classifier) -> Logits:
    """Return the logits for fixed noise, float32 `(8, classes)`; none of a stochastic one."""
    if classifier.stochastic:
        return np.zeros((0, classifier.num_classes), np.float32)
    return predict(classifier, probes(classifier.image_shape))


def answer_alike(network: Classifier, served: Classifier) -> bool:
    """Tell whether two classifiers are the same, but for the graphs they are computed by.

    Stochastic ones of the same shapes are given the benefit of the doubt.
    """
    if network.image_shape != served.image_shape or network.num_classes != served.num_classes:
        return False
    if network.stochastic or served.stochastic:
        return True
    images = probes(served.image_shape, _SERVED)
    logits, others = np.asarray(network(images)), np.asarray(served(images))
    return bool(agree(logits, others, _TWO_GRAPHS).all())


def identity(classifier: Classifier, images: Images) -> bytes:
    """Return what tells one classifier from another: its logits, or a stochastic one's path.

    A file may be overwritten in its place, so the weights of a stochastic one count too, where it
    shows any.

    Args:
        classifier: any.
        images: of an evaluation, of which the first 64 are asked.
    """
    if classifier.stochastic and classifier.source:
        return repr((classifier.source, classifier.defenses, weights_digest(classifier))).encode()
    return np.ascontiguousarray(predict(classifier, images[:SHOWN])).tobytes()


def weights_digest(classifier: Classifier) -> str | None:
    """Return the SHA-256 of a network's weights, with those of all defences around it.

    Returns:
        64 hexadecimal digits; `None` for one that shows no weights, such as a remote one.

    Example:
        >>> weights_digest(load("d1")) == weights_digest(load("d2"))
        False
    """
    content, known = hashlib.sha256(), False
    for weights in _weights(classifier):
        content.update(weights)
        known = True
    return content.hexdigest() if known else None


def _weights(classifier: Classifier | None) -> Iterator[bytes]:
    while classifier is not None:
        if classifier.model is not None:
            weights = classifier.model.get_weights()
            yield from (np.ascontiguousarray(weight).tobytes() for weight in weights)
        elif classifier.inner is None and classifier.source:
            files = sorted((Path(classifier.source) / "variables").glob("*"))
            yield from (file.read_bytes() for file in files)
        classifier = classifier.inner
