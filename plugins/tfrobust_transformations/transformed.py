"""A classifier behind a transformation of its images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.defense import NOTHING, Changes, Defense
from tfrobust.types import Images, Logits

Transformation = Callable[[Images], Images]


class Transformed(Wrapped):
    """A classifier that is shown transformed images; the transformation can be served by itself.

    Args:
        inner: the classifier.
        transformation: images → images of the same shape, in TensorFlow.
        **changes: traits that differ from those of `inner`.
    """

    shown_as = "transformed"

    def __init__(self, inner: Classifier, transformation: Transformation, **changes: Any) -> None:
        super().__init__(inner, **changes)
        self._transformation = transformation

    def before(self, images: Images) -> Images:
        """Return what the classifier is shown, float32 of the images' shape."""
        return tf.ensure_shape(self._transformation(images), (None, *self.image_shape))

    def __call__(self, images: Images) -> Logits:
        """Return the classifier's logits of the transformed images."""
        return self.inner(self.before(images))

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what the classifier serves, of the transformed images, and these themselves."""
        transformed = self.before(images)
        return self.inner.outputs(transformed) | {self.shown_as: transformed}

    def features(self, images: Images) -> Any:
        """Return the classifier's, of the transformed images."""
        return self.inner.features(self.before(images))


def straight_through(transformation: Transformation) -> Transformation:
    """Return a transformation of the same values, whose gradient is that of the identity.

    The backward pass of BPDA: Athalye, Carlini & Wagner, "Obfuscated gradients give a false sense
    of security" (2018).

    Example:
        >>> squeezed = straight_through(lambda images: tf.round(images))
    """
    return lambda images: images + tf.stop_gradient(transformation(images) - images)


class ChangesImages(Defense):
    """A defence that trains nothing and shows the classifier other images."""

    undone_by: ClassVar[Changes] = NOTHING

    @property
    def changes(self) -> Changes:
        """It shows the classifier other images."""
        return frozenset({"input"})
