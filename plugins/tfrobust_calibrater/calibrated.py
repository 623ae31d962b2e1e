"""A frozen classifier behind a calibrater."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.inference import megabytes_of
from tfrobust.classifiers.keras.models import random_state
from tfrobust.errors import ClassifierError
from tfrobust.types import Images, KerasModel, Logits
from tfrobust_calibrater.generator import merge_of, uncut


class Calibrated(Wrapped):
    """Classifies calibrated images.

    Args:
        inner: the classifier, which is only ever called in inference mode.
        model: the calibrater, a Keras model from images to images.
        backwards: take its perturbation with the opposite sign.

    Raises:
        ClassifierError: the calibrater takes other images than the classifier.
    """

    shown_as = "calibrated"

    def __init__(self, inner: Classifier, model: KerasModel, *, backwards: bool = False) -> None:
        if tuple(model.input_shape[1:]) != inner.image_shape:
            raise ClassifierError(
                f"the calibrater was trained for images {tuple(model.input_shape[1:])}; the "
                f"classifier takes {inner.image_shape}"
            )
        known = inner.megabytes
        own = megabytes_of(model.count_params())
        super().__init__(inner, megabytes=None if known is None else known + own)
        self.model = model
        self._uncut = uncut(model) if backwards else None
        self._cuts = merge_of(model) != "factor"

    def before(self, images: Images) -> Images:
        """Return what the classifier is shown, float32 of the images' shape.

        In [0, 1]; a calibrater of `merge="factor"` cuts nothing.
        """
        if self._uncut is None:
            return tf.cast(self.model(images, training=False), tf.float32)
        backwards = 2 * images - tf.cast(self._uncut(images, training=False), tf.float32)
        return tf.clip_by_value(backwards, 0, 1) if self._cuts else backwards

    def __call__(self, images: Images) -> Logits:
        """Return the classifier's logits of the calibrated images."""
        return self.inner(self.before(images))

    def logits_in_training(self, images: Images) -> Logits:
        """Return them with the calibrater in training mode; see `Trainable`."""
        return self.inner(tf.cast(self.model(images, training=True), tf.float32))

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what the classifier serves, of calibrated images, and these themselves."""
        calibrated = self.before(images)
        return self.inner.outputs(calibrated) | {self.shown_as: calibrated}

    def features(self, images: Images) -> Any:
        """Return the classifier's, of the calibrated images."""
        return self.inner.features(self.before(images))

    def trackables(self) -> list[Any]:
        """Return what classifier and calibrater need kept."""
        return [*self.inner.trackables(), *random_state(self.model)]
