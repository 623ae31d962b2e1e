"""The `ModelBuilder` contract: an architecture that fits any image shape and class count."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from tfrobust.classifiers.summary import Summary, summarized
from tfrobust.types import ImageShape


class ModelBuilder(abc.ABC):
    """Builds an untrained Keras model; its fields are its options.

    Example:
        >>> @plugin
        ... class Linear(ModelBuilder):
        ...     def build(self, image_shape, num_classes):
        ...         layers = [keras.Input(image_shape), keras.layers.Flatten(),
        ...                   keras.layers.Dense(num_classes)]
        ...         return keras.Sequential(layers)
    """

    @property
    def smallest_side(self) -> int:
        """The least height and width of the images `build` takes, in pixels; 1 unless overridden.

        Smaller ones are refused with a `UsageError` that says what to do.
        """
        return 1

    @property
    def files(self) -> Mapping[str, str]:
        """The SHA-256 of each file that `build` reads, by the option that names it.

        Cards record it, and a training goes on only from the files it began with.
        """
        return {}

    @abc.abstractmethod
    def build(self, image_shape: ImageShape, num_classes: int) -> Any:
        """Return a Keras model from images in [0, 1] to logits.

        Args:
            image_shape: `(height, width, channels)`.
            num_classes: how many logits.

        Returns:
            A Keras 3 or `tf_keras` model, `(batch, *image_shape)` → `(batch, num_classes)`,
            without a softmax. Normalisation of the pixels belongs inside it.
        """

    def summary(self, image_shape: ImageShape, num_classes: int) -> Summary:
        """Return what the model consists of; an override may count bits or operations.

        Args:
            image_shape: `(height, width, channels)`.
            num_classes: how many logits.
        """
        return summarized(self.build(image_shape, num_classes))
