"""Plain forward passes over many images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Images

BATCH_SIZE = 128


def predict(classifier: Classifier, images: Images, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """Return the logits of all images, float32 `(n, classes)`."""
    call = _forward(classifier)
    starts = range(0, len(images), batch_size)
    return np.concatenate([call(images[s : s + batch_size]).numpy() for s in starts])


@functools.lru_cache(maxsize=16)
def _forward(classifier: Classifier) -> Callable[..., Any]:
    spec = tf.TensorSpec((None, *classifier.image_shape), tf.float32)
    return tf.function(classifier.__call__, input_signature=[spec])
