"""What a network costs in the field: MB, and milliseconds an image, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier, Separable
from tfrobust.classifiers.inference import in_batches, megabytes, megabytes_of, parameters, predict
from tfrobust.data.reading import arrays
from tfrobust.scenario import Scenario
from tfrobust.serving.litert import LiteModel
from tfrobust.serving.litert_export import lite_file
from tfrobust.serving.servable import separated
from tfrobust.types import Images, Labels

_WARM, _TIMED = 5, 40  # calls
_SAMPLES = 200  # training images that the quantization learns ranges from


def prices(
    classifier: Classifier, scenario: Scenario, images: Images, labels: Labels
) -> Iterator[tuple[str, float]]:
    """Yield the figures of one view: of what stands before the classifier, in 8 bits as well.

    Args:
        classifier: as the view shows it.
        scenario: whose training images show the quantization its ranges.
        images: to measure accuracy on.
        labels: theirs.
    """
    yield "megabytes", megabytes(classifier)
    whole = milliseconds(traced(classifier), images)
    yield "milliseconds", whole
    if not isinstance(classifier, Separable):
        return
    bare = classifier.inner
    yield "part_megabytes", megabytes_of(parameters(classifier) - parameters(bare))
    part = separated(classifier, classifier.defenses[-1].name)
    small = LiteModel(lite_file(part, arrays(scenario, "train", _SAMPLES)[0]))
    yield "int8_megabytes", small.megabytes
    logits = predict(bare, in_batches(small, images))
    yield "int8_accuracy", float((logits.argmax(axis=1) == labels).mean())
    yield "int8_milliseconds", milliseconds(small, images) + milliseconds(traced(bare), images)


def traced(classifier: Classifier) -> Callable[[Any], Any]:
    """Return the classifier as a graph for single images, which gives arrays."""
    spec = tf.TensorSpec((1, *classifier.image_shape), tf.float32)
    call = tf.function(classifier.__call__, input_signature=[spec])
    return lambda images: np.asarray(call(images))


def milliseconds(call: Callable[[Any], Any], images: Images) -> float:
    """Return how long a call on one image takes, the median of 40 after 5 to warm up."""
    spent = []
    for number in range(_WARM + _TIMED):
        image = images[number % len(images)][np.newaxis]
        began = time.perf_counter()
        call(image)
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[_WARM:]) * 1e3)
