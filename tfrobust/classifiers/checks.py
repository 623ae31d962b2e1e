"""What is tried on a classifier before anything is built on it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.bounded import check_values, masked_classes
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.keras.models import has_finite_weights
from tfrobust.errors import ClassifierError, one_line


def check_sound(classifier: Classifier, name: str) -> None:
    """Try a classifier on eight random images before anything is built on it.

    One that answers differently the second time is marked as `stochastic`.

    Raises:
        ClassifierError: logits that are not finite, of the wrong shape, or probabilities.
    """
    shape = (8, *classifier.image_shape)
    probe = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    try:
        logits = np.asarray(classifier(tf.constant(probe)))
    except Exception as error:  # a third-party model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    model = getattr(classifier, "model", None)
    if masked := masked_classes(logits):
        raise ClassifierError(
            f"{name}: expected finite logits; received: -inf for every image in classes {masked}; "
            "mask them with a number such as -1e4, or leave them out of the outputs"
        )
    if not np.isfinite(logits).all() or not (model is None or has_finite_weights(model)):
        raise ClassifierError(f"{name}: its weights or logits hold NaN or infinity; train it again")
    if logits.shape != (8, classifier.num_classes):
        raise ClassifierError(
            f"{name}: expected logits (8, {classifier.num_classes}); received: {logits.shape}"
        )
    if not classifier.gives_logits:
        doubts = check_values(classifier, classifier.image_shape, name)
        classifier.notices += tuple(each for each in doubts if each not in classifier.notices)
    classifier.stochastic = classifier.stochastic or answers_differ(classifier)
