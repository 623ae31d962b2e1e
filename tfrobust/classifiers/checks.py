"""What is tried on a classifier before anything is built on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.bounded import check_values, masked_classes
from tfrobust.classifiers.identity import answers_differ, probes
from tfrobust.classifiers.keras.models import has_finite_weights
from tfrobust.classifiers.python_calls import raised_in_python
from tfrobust.errors import ClassifierError, RobustError, one_line


def check_sound(classifier: Classifier, name: str) -> dict[str, Any]:
    """Try a classifier on eight random images before anything is built on it.

    Returns:
        The traits it turned out to have: `stochastic` where it answers differently the second
        time, `notices` with what is in doubt.

    Example:
        >>> classifier = classifier.replace(**check_sound(classifier, "d1"))

    Raises:
        ClassifierError: logits that are not finite, of the wrong shape, or probabilities.
    """
    try:
        with raised_in_python():
            logits = np.asarray(classifier(tf.constant(probes(classifier.image_shape))))
    except RobustError:
        raise
    except Exception as error:  # a third-party model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    if masked := masked_classes(logits):
        raise ClassifierError(
            f"{name}: expected finite logits; received: -inf for every image in classes {masked}; "
            "mask them with a number such as -1e4, or leave them out of the outputs"
        )
    model = classifier.model
    if not np.isfinite(logits).all() or not (model is None or has_finite_weights(model)):
        raise ClassifierError(f"{name}: its weights or logits hold NaN or infinity; train it again")
    if logits.shape != (8, classifier.num_classes):
        raise ClassifierError(
            f"{name}: expected logits (8, {classifier.num_classes}); received: {logits.shape}"
        )
    notices = classifier.notices
    if not classifier.gives_logits:
        doubts = check_values(classifier, classifier.image_shape, name)
        notices += tuple(doubt for doubt in doubts if doubt not in notices)
    stochastic = classifier.stochastic or answers_differ(classifier)
    return {"notices": notices, "stochastic": stochastic}
