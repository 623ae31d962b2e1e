"""Plain forward passes over many images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.python_calls import raised_in_python
from tfrobust.classifiers.traces import Traces
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.types import Images, Labels

BATCH_SIZE = 128
_FORWARD: Traces[Any] = Traces(most=64)  # an evaluation comes back to each for every block


def predict(classifier: Classifier, images: Images, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """Return the logits of all images, float32 `(n, classes)`."""
    if classifier.meter is not None:
        return in_batches(_asked(classifier), images, batch_size)
    return in_batches(forward(classifier), images, batch_size)


def _asked(classifier: Classifier) -> Callable[[Images], Any]:
    """Return the call of a classifier that is asked by Python, without a graph around it.

    A graph would wait in one thread for the answer that another one fetches.
    """
    return lambda images: classifier(tf.constant(images, tf.float32))


def in_batches(
    call: Callable[..., Any], images: Images, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """Call a function on all images, a batch at a time, and join what it returns."""
    starts = range(0, len(images), batch_size)
    with raised_in_python():
        return np.concatenate([np.asarray(call(images[s : s + batch_size])) for s in starts])


def parameters(classifier: Classifier) -> int:
    """Return how many floating-point numbers the logits depend on, averages of batches too.

    Example:
        >>> parameters(KerasClassifier(create("models", "lenet").build((28, 28, 1), 10)))
        107786
    """
    graph = forward(classifier).get_concrete_function().graph
    variables = {variable.ref(): variable for variable in graph.variables}
    return sum(
        variable.shape.num_elements()
        for variable in variables.values()
        if variable.dtype.is_floating
    )


def megabytes_of(numbers: int) -> float:
    """Return how many MB (10⁶ bytes) a number of float32 values takes."""
    return numbers * 4 / 1e6


def megabytes(classifier: Classifier) -> float:
    """Return how many MB a classifier's weights take, as they are kept: compressed, if they are.

    Example:
        >>> megabytes(KerasClassifier(create("models", "lenet").build((28, 28, 1), 10)))
        0.431144
    """
    known = classifier.megabytes
    return megabytes_of(parameters(classifier)) if known is None else known


def forward(classifier: Classifier) -> Any:
    """Return the traced call of a classifier: images of any number → logits."""

    def trace() -> Any:
        spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
        return tf.function(classifier.__call__, input_signature=[spec])

    return _FORWARD.of(classifier, "logits", trace)


def predicted_classes(
    classifier: Classifier, images: Images, batch_size: int = BATCH_SIZE
) -> Labels:
    """Return the predicted classes, int64 `(n,)`; logits are kept of one batch at a time.

    The logits of a thousand classes take as much memory as an image of CIFAR-10.
    """
    logits = forward(classifier)
    classes = in_batches(lambda batch: np.asarray(logits(batch)).argmax(axis=1), images, batch_size)
    return classes.astype(np.int64, copy=False)


def check_batches(classifier: Classifier, images: int, batch_size: int) -> None:
    """Refuse batches of one image where answers depend on the whole batch.

    Behind a dense layer that is normalised over one image, all images get the same answer.

    Args:
        classifier: any.
        images: how many there are.
        batch_size: images at a time.

    Raises:
        UsageError: the classifier is `batch_dependent` and a batch would have one image.
    """
    if classifier.batch_dependent and images and 1 in (batch_size, images % batch_size):
        raise UsageError(
            f"batch_size: {images} images, {batch_size} at a time, leave one alone in a batch, and "
            "the answers of this classifier depend on the other images; choose another number"
        )


def clean_predictions(
    classifier: Classifier, images: Images, name: str = "classifier", batch_size: int = BATCH_SIZE
) -> Labels:
    """Return the predicted classes, int64 `(n,)`.

    Raises:
        ClassifierError: a logit is NaN.
        UsageError: see `check_batches`.
    """
    check_batches(classifier, len(images), batch_size)
    logits = predict(classifier, images, batch_size)
    if np.isnan(logits).any():
        raise ClassifierError(f"{name}: returns NaN logits; its weights are damaged")
    return logits.argmax(axis=1).astype(np.int64)
