"""Counts what an attack asks of a classifier, and looks at the first gradients."""

from __future__ import annotations

import dataclasses
import itertools
import math
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine.whole_batch import of_whole_batch
from tfrobust.types import Images, Logits


@dataclasses.dataclass(frozen=True)
class FirstGradients:
    """What the first gradient of each image was like.

    Attributes:
        images: how many first gradients were looked at; 0 for an attack that computes none.
        zero: those where it was zero in every pixel: no direction leads anywhere.
        non_finite: those where a pixel of it was NaN or infinite.
    """

    images: int = 0
    zero: int = 0
    non_finite: int = 0


NONE_SEEN = FirstGradients()


class Counted(Wrapped):
    """Counts forward passes and gradients, an image each; attacks need not know.

    The first gradients of every batch are looked at as well: an attack that meets zeros or NaN
    fails because there is no gradient, and not because the classifier is robust.

    Args:
        inner: whose calls are counted.
        calls: what one call counts for, where the inner classifier makes several.

    Attributes:
        queries: forward passes.
        gradients: backward passes.
        first: images whose first gradient was looked at.
        zero: those of them where it was zero in every pixel.
        non_finite: those where a pixel of it was NaN or infinite.
    """

    def __init__(self, inner: Classifier, calls: int = 1) -> None:
        super().__init__(inner)
        self.calls = calls
        self.queries, self.gradients, self.first, self.zero, self.non_finite = (
            tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(5)
        )
        self._fresh = tf.Variable(True, trainable=False)  # no gradient of this batch yet
        self._watched = _watching(self)

    def __call__(self, images: Images) -> Logits:
        """Return the logits, and count."""
        self.queries.assign_add(self.calls * tf.shape(images, tf.int64)[0])
        images = of_whole_batch(images)
        return self.inner(tf.ensure_shape(self._watched(images), images.shape))

    def reset(self) -> None:
        """Start again from zero."""
        for count in (self.queries, self.gradients, self.first, self.zero, self.non_finite):
            count.assign(0)
        self.begin_batch()

    def first_gradients(self) -> FirstGradients:
        """Return what the first gradients since the last `reset` were like."""
        counts = self.first, self.zero, self.non_finite
        return FirstGradients(*(int(count.numpy()) for count in counts))

    def begin_batch(self) -> None:
        """Look at the next gradients: they are the first ones of a batch."""
        self._fresh.assign(True)

    def count_gradient(self, gradient: Images) -> Images:
        """Return a gradient as it is, once it is counted; look at the first one of each batch."""
        images = tf.shape(gradient, tf.int64)[0]

        def look() -> Any:
            flat = tf.reshape(gradient, (images, math.prod(self.image_shape)))
            zero = tf.reduce_all(tf.equal(flat, 0.0), axis=1)
            broken = tf.reduce_any(~tf.math.is_finite(flat), axis=1)
            return tf.stack([images, *map(tf.math.count_nonzero, (zero, broken))])

        first, zero, broken = tf.unstack(tf.cond(self._fresh, look, lambda: tf.zeros(3, tf.int64)))
        with tf.control_dependencies([first]):
            counted = [self._fresh.assign(False)]
        counted += [
            self.gradients.assign_add(self.calls * images),
            self.first.assign_add(first),
            self.zero.assign_add(zero),
            self.non_finite.assign_add(broken),
        ]
        # A backward pass that becomes a function of its own runs only what its result depends on.
        with tf.control_dependencies(counted):
            gradient = tf.identity(gradient)
        # Several backward passes of one forward pass follow one another by control edges. When
        # TensorFlow inlines the functions they become, such an edge waits only for what a function
        # lists here; without it all of them, or any number, would find the batch fresh.
        tf.compat.v1.get_default_graph().control_outputs.append(gradient.op)
        return gradient


_GRADIENT = "TfrobustCounted"  # in TensorFlow's registry, where it is one for all classifiers
_COUNTED: weakref.WeakValueDictionary[str, Counted] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count()


@tf.RegisterGradient(_GRADIENT)
def _count(operation: Any, upstream: Images) -> Images:
    return _COUNTED[operation.name].count_gradient(upstream)


def _watching(counted: Counted) -> Callable[[Images], Images]:
    """Return the identity, whose gradients are counted.

    `tf.custom_gradient` would register a gradient of its own for every trace, and TensorFlow's
    registry never frees what a gradient refers to, including the classifier and its variables. One
    registered gradient finds its counter by the operation's name.
    """
    name = f"counted_{next(_NUMBERS)}"
    _COUNTED[name] = counted

    @tf.function(input_signature=[tf.TensorSpec((None, *counted.image_shape), tf.float32)])
    def watched(images: Images) -> Images:
        with tf.compat.v1.get_default_graph().gradient_override_map({"Identity": _GRADIENT}):
            return tf.identity(images, name=name)

    return watched
