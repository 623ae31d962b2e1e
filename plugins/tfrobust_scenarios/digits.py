"""Scikit-learn's handwritten digits: 1,797 images of 8×8, no download.

Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository
(1998). The split is ours: 360 test images, stratified by class.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tfrobust.options import plugin
from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape

_TEST = 360


@plugin
class Digits(Scenario):
    """8×8 grey digits that come with scikit-learn."""

    @property
    def image_shape(self) -> ImageShape:
        """8×8, grey."""
        return 8, 8, 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits."""
        return tuple("0123456789")

    @property
    def splits(self) -> tuple[str, ...]:
        """1,437 training and 360 test images."""
        return "train", "test"

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; see `Scenario.load`."""
        image, label = _splits()[self.splits.index(split) :: 2]
        return tf.data.Dataset.from_tensor_slices({"image": image, "label": label})


@functools.cache
def _splits() -> list[np.ndarray]:
    """Return training images, test images, training labels, test labels."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype("float32")
    parts: list[np.ndarray] = train_test_split(
        images,
        digits.target.astype("int64"),
        test_size=_TEST,
        stratify=digits.target,
        random_state=0,
    )
    return parts
