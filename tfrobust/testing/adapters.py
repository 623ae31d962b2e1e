"""What every classifier promises, whatever it was loaded from: one contract for all adapters."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.errors import ClassifierError
from tfrobust.types import Logits


def check_promises(
    classifier: Classifier, *, differentiable: bool = True, precision: float = 1e-5
) -> None:
    """Check that a classifier takes and gives what the contract says.

    Logits are float32 `(batch, classes)` for every batch size, in a graph too; `outputs` has them
    with their probabilities; further outputs are no wider than float32; gradients are finite
    and reach the images; features are float32 `(batch, units)` where there are any.

    Args:
        classifier: any.
        differentiable: whether gradients must reach the images.
        precision: what two graphs of it may differ by, as a share of the largest logit.

    Example:
        >>> check_promises(store.load("m.keras"))
    """
    draw = np.random.default_rng(0)
    images = draw.uniform(size=(5, *classifier.image_shape)).astype(np.float32)
    logits = classifier(tf.constant(images))
    assert logits.dtype == tf.float32
    assert logits.shape == (5, classifier.num_classes)
    assert classifier(tf.constant(images[:1])).shape == (1, classifier.num_classes)
    _check_outputs(classifier, images, precision)
    _check_graph(classifier, images, precision)
    if differentiable:
        _check_gradients(classifier, images)
    try:
        features = classifier.features(tf.constant(images))
    except ClassifierError:
        return
    assert features.dtype == tf.float32
    assert len(features.shape) == 2
    assert features.shape[0] == 5


def _check_outputs(classifier: Classifier, images: np.ndarray, precision: float) -> None:
    outputs = classifier.outputs(tf.constant(images))
    assert {"logits", "probabilities"} <= set(outputs)
    floating = [output for output in outputs.values() if output.dtype.is_floating]
    assert all(output.dtype == tf.float32 for output in floating)
    assert np.allclose(outputs["probabilities"], tf.nn.softmax(outputs["logits"]), atol=1e-5)
    if not classifier.stochastic:
        assert _alike(outputs["logits"], classifier(tf.constant(images)), precision)


def _check_graph(classifier: Classifier, images: np.ndarray, precision: float) -> None:
    spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
    traced = tf.function(classifier.__call__, input_signature=[spec])
    for count in (1, 5):
        logits = traced(tf.constant(images[:count]))
        assert logits.dtype == tf.float32
        assert logits.shape == (count, classifier.num_classes)
        if not classifier.stochastic:
            assert _alike(logits, classifier(tf.constant(images[:count])), precision)


def _alike(logits: Logits, others: Logits, precision: float) -> bool:
    apart = np.abs(np.asarray(logits) - np.asarray(others)).max()
    return bool(apart <= precision * np.abs(np.asarray(others)).max())


def _check_gradients(classifier: Classifier, images: np.ndarray) -> None:
    gradient = gradient_of(classifier, images)
    assert gradient.dtype == np.float32
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).reshape(len(images), -1).max(axis=1) > 0).all()


def gradient_of(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Return the gradient of a weighted sum of the logits with respect to the images."""
    shown = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(shown)
        logits = classifier(shown)
        weights = tf.cos(tf.range(logits.shape[1], dtype=tf.float32))
        loss = tf.reduce_sum(logits * weights)
    gradient = tape.gradient(loss, shown)
    assert gradient is not None
    return np.asarray(gradient)
