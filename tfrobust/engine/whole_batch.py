"""Batches that stay whole, for a classifier whose answers depend on all images of a call.

Where batch normalisation uses the statistics of the batch, an image is judged among the images of
its batch, and must be attacked among them: no row leaves the loop once it is done, and a call on
any other number of images (several copies of each, or some of them) is refused, because it would
tell of another classifier than the one that is judged.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.types import Images

_SIZE: contextvars.ContextVar[Any] = contextvars.ContextVar("whole_batch", default=None)


@contextlib.contextmanager
def kept_whole(classifier: Classifier, images: Images) -> Iterator[None]:
    """Keep a batch whole in what is traced or run inside, where the classifier asks for that.

    Args:
        classifier: that is attacked.
        images: the batch, `(batch, height, width, channels)`.
    """
    token = _SIZE.set(tf.shape(images)[0] if classifier.batch_dependent else None)
    try:
        yield
    finally:
        _SIZE.reset(token)


def is_kept_whole() -> bool:
    """Tell whether the loop must keep rows that are done."""
    return _SIZE.get() is not None


def of_whole_batch(images: Images) -> Images:
    """Return images as they are; where a batch is kept whole, refuse any other number of them.

    Raises:
        InvalidArgumentError: when it is run.
    """
    size = _SIZE.get()
    if size is None:
        return images
    check = tf.debugging.assert_equal(
        tf.shape(images)[0],
        size,
        "the answers of this classifier depend on the whole batch, and this attack asks for other "
        "batches than the one that is judged; choose another attack",
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(images)
