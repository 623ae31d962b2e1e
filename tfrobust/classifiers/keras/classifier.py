"""The adapter for Keras models, of either generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.bounded import check_values
from tfrobust.classifiers.keras.forms import check_structure, plain, reads_bytes
from tfrobust.classifiers.keras.graph import hidden
from tfrobust.classifiers.keras.models import keras_of, random_state
from tfrobust.classifiers.logits import check_ending
from tfrobust.types import Images, ImageShape, KerasModel, Logits


class KerasClassifier(Classifier):
    """A Keras 3 or `tf_keras` model that maps images in [0, 1] to logits.

    Args:
        model: one input `(batch, height, width, channels)` of fixed size, one output
            `(batch, classes)` without a softmax; a list or dict of one will do. A subclassed model
            must have been called.
        **traits: see `tfrobust.classifier.Traits`.

    Raises:
        ClassifierError: the model has another form, or ends in a softmax, a sigmoid or the like.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(10)])
        >>> KerasClassifier(model).num_classes
        10
    """

    def __init__(self, model: KerasModel, *, notices: Sequence[str] = (), **traits: Any) -> None:
        model = plain(model)
        image_shape, num_classes = check_structure(model)
        shown = check_ending(model, num_classes)
        super().__init__(
            image_shape=image_shape,
            num_classes=num_classes,
            gives_logits=shown,
            reads_bytes=reads_bytes(model),
            notices=(*notices, *(() if shown else _doubts(model, image_shape))),
            **traits,
        )
        self.model = model
        self._hidden: Any = None

    def __call__(self, images: Images) -> Logits:
        """Return the model's logits in inference mode."""
        return _logits(self.model, images)

    def logits_in_training(self, images: Images) -> Logits:
        """Return the model's logits in training mode; see `Trainable`."""
        return tf.cast(self.model(images, training=True), tf.float32)

    def features(self, images: Images) -> Any:
        """Return what the model's last layer with a kernel reads, flattened; see `Classifier`."""
        if self._hidden is None:
            self._hidden = hidden(self.model)
        return self._hidden(images)

    def trackables(self) -> list[Any]:
        """Return the state that random layers draw from."""
        return random_state(self.model)


def _logits(model: KerasModel, images: Images) -> Logits:
    return tf.cast(model(images, training=False), tf.float32)


def _doubts(model: KerasModel, image_shape: ImageShape) -> tuple[str, ...]:
    """Refuse a model whose values are no logits; return what is in doubt. No random state moves."""
    states = random_state(model)
    before = [state.numpy() for state in states]
    try:
        return check_values(lambda images: _logits(model, images), image_shape, "the model")
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)


def copied(classifier: KerasClassifier) -> KerasClassifier:
    """Return a classifier with a model of its own, of the same weights; without its defences."""
    model = keras_of(classifier.model).models.clone_model(classifier.model)
    model.set_weights(classifier.model.get_weights())
    return KerasClassifier(
        model, class_names=classifier.class_names, stochastic=classifier.stochastic
    )
