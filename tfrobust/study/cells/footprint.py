"""What a network costs in the field: megabytes, and milliseconds an image, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier, Separable
from tfrobust.classifiers.inference import in_batches, megabytes, megabytes_of, parameters, predict
from tfrobust.data.image_blocks import ImageBlocks, accuracy
from tfrobust.data.reading import arrays
from tfrobust.scenario import Scenario
from tfrobust.serving.litert import LiteModel
from tfrobust.serving.litert_export import lite_file
from tfrobust.serving.servable import separated
from tfrobust.study.schema.figures import DonatedFigures, FootprintFigures
from tfrobust.types import Images, Labels

_WARM_UP_CALLS, _TIMED_CALLS = 5, 40
_SAMPLES = 200  # training images that the quantization learns ranges from


def footprint(classifier: Classifier, scenario: Scenario, tested: ImageBlocks) -> dict[str, float]:
    """Return the figures of one view; of what stands before the classifier, in 8 bits as well.

    Args:
        classifier: as the view shows it.
        scenario: the training images give the quantization its ranges.
        tested: images to measure accuracy on; the first ones are timed.
    """
    images, _ = next(iter(tested))
    figures = FootprintFigures(
        megabytes=megabytes(classifier), milliseconds=milliseconds(traced(classifier), images)
    ).known
    if not isinstance(classifier, Separable):
        return figures
    before: Separable = classifier
    bare = before.inner
    part = separated(classifier, classifier.defenses[-1].name)
    int8 = LiteModel(lite_file(part, arrays(scenario, "train", _SAMPLES)[0]))

    def predicted(images: Images) -> Labels:
        return predict(bare, in_batches(int8, images)).argmax(axis=1)

    donated = DonatedFigures(
        part_megabytes=megabytes_of(parameters(classifier) - parameters(bare)),
        int8_megabytes=int8.megabytes,
        int8_accuracy=accuracy(predicted, tested),
        int8_milliseconds=milliseconds(int8, images) + milliseconds(traced(bare), images),
    )
    return figures | donated.known


def traced(classifier: Classifier) -> Callable[[Any], Any]:
    """Return the classifier as a graph for single images, which gives arrays."""
    spec = tf.TensorSpec((1, *classifier.image_shape), tf.float32)
    call = tf.function(classifier.__call__, input_signature=[spec])
    return lambda images: np.asarray(call(images))


def milliseconds(call: Callable[[Any], Any], images: Images) -> float:
    """Return how long a call on one image takes: the median of 40 calls after 5 to warm up."""
    seconds = []
    for number in range(_WARM_UP_CALLS + _TIMED_CALLS):
        image = images[number % len(images)][np.newaxis]
        began = time.perf_counter()
        call(image)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[_WARM_UP_CALLS:]) * 1e3)
