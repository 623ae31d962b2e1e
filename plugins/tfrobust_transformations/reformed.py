"""A frozen classifier behind an auto-encoder; see `magnet`."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.inference import megabytes_of
from tfrobust.classifiers.keras.models import random_state
from tfrobust.errors import ClassifierError
from tfrobust.types import Images, ImageShape, KerasModel, Logits, PerImage

Activation = Literal["sigmoid", "relu"]
ErrorNorm = Literal["l1", "l2"]
_LEAST = 1e-12  # a probability of zero has no logarithm


class Reformed(Wrapped):
    """Classifies what an auto-encoder makes of images.

    Args:
        inner: the classifier.
        model: the auto-encoder, a Keras model from images to images.
        temperature: T of the divergence.
        error: norm of the reconstruction error.

    Raises:
        ClassifierError: the auto-encoder takes other images than the classifier.
    """

    shown_as = "reformed"

    def __init__(
        self, inner: Classifier, model: KerasModel, temperature: float, error: ErrorNorm
    ) -> None:
        if tuple(model.input_shape[1:]) != inner.image_shape:
            raise ClassifierError(
                f"the auto-encoder was trained for images {tuple(model.input_shape[1:])}; the "
                f"classifier takes {inner.image_shape}"
            )
        known, own = inner.megabytes, megabytes_of(model.count_params())
        super().__init__(inner, megabytes=None if known is None else known + own)
        self.model, self._temperature, self._norm = model, temperature, error

    def reform(self, images: Images, *, training: bool) -> Images:
        """Return what the auto-encoder makes of images, float32 of their shape in [0, 1]."""
        return tf.cast(self.model(images, training=training), tf.float32)

    def before(self, images: Images) -> Images:
        """Return what the classifier is shown."""
        return self.reform(images, training=False)

    def __call__(self, images: Images) -> Logits:
        """Return the classifier's logits of the reformed images."""
        return self.inner(self.before(images))

    def logits_in_training(self, images: Images) -> Logits:
        """Return them with the auto-encoder in training mode; see `Trainable`."""
        return self.inner(self.reform(images, training=True))

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what is served: that of the reformed images, and what detectors look at.

        `reconstruction_error`: mean over pixels of |x − A(x)| or its square; `divergence`: the
        Jensen–Shannon divergence of the answers to x and A(x), in nats; both float32 `(batch,)`.
        """
        reformed = self.before(images)
        outputs = self.inner.outputs(reformed)
        change = images - reformed
        sizes = tf.abs(change) if self._norm == "l1" else tf.square(change)
        answers = (logits / self._temperature for logits in (self.inner(images), outputs["logits"]))
        return outputs | {
            self.shown_as: reformed,
            "reconstruction_error": tf.reduce_mean(sizes, axis=(1, 2, 3)),
            "divergence": jensen_shannon(*map(tf.nn.softmax, answers)),
        }

    def features(self, images: Images) -> Any:
        """Return the classifier's, of the reformed images."""
        return self.inner.features(self.before(images))

    def trackables(self) -> list[Any]:
        """Return what classifier and auto-encoder need kept."""
        return [*self.inner.trackables(), *random_state(self.model)]


def jensen_shannon(first: Any, second: Any) -> PerImage:
    """Return the divergence of probabilities `(batch, classes)`, in nats, between 0 and log 2.

    Example:
        >>> jensen_shannon(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])).numpy()
        array([0.6931472], dtype=float32)
    """
    mean = (first + second) / 2

    def from_mean(probabilities: Any) -> Any:
        ratio = tf.maximum(probabilities, _LEAST) / tf.maximum(mean, _LEAST)
        return tf.reduce_sum(probabilities * tf.math.log(ratio), axis=1)

    return (from_mean(first) + from_mean(second)) / 2


def auto_encoder(
    image_shape: ImageShape, filters: int, activation: Activation, *, pooling: bool
) -> KerasModel:
    """Return an untrained auto-encoder of images in [0, 1].

    Args:
        image_shape: `(height, width, channels)`; with pooling of even sides.
        filters: of each inner convolution, 3 × 3.
        activation: of those; the last one has a sigmoid.
        pooling: halve the sides inside (the paper's for MNIST).
    """
    layers = keras.layers
    images = keras.Input(image_shape)

    def convolved(values: Any) -> Any:
        return layers.Conv2D(filters, 3, padding="same", activation=activation)(values)

    values = convolved(images)
    if pooling:
        values = convolved(convolved(layers.AveragePooling2D(2)(values)))
        values = layers.UpSampling2D(2)(values)
    values = convolved(values)
    last = layers.Conv2D(image_shape[2], 3, padding="same", activation="sigmoid")
    return keras.Model(images, last(values), name="auto_encoder")
