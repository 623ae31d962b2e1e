"""Adversarial images with their labels, and a training on clean and adversarial images."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape, Labels


@dataclasses.dataclass(frozen=True)
class Collected:
    """Images to retrain on.

    Attributes:
        images: a dataset of n images, float32 `(height, width, channels)`, which lie on disk.
        labels: int64 `(n,)`, which may lie beyond the scenario's classes.
        known_classes: names of the network's classes.
        new_classes: names of the classes that are added.
        figures: what is worth telling of them, for the card.
        among: how many training images they are mixed with.
    """

    images: tf.data.Dataset
    labels: Labels
    known_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    figures: dict[str, float | None]
    among: int


class Joined(Scenario):
    """A scenario with more images in its training split, and maybe more classes.

    Args:
        base: the scenario.
        more: what is added.
    """

    def __init__(self, base: Scenario, more: Collected) -> None:
        self._base, self._more = base, more

    @property
    def image_shape(self) -> ImageShape:
        """That of the scenario."""
        return self._base.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the network, which are the scenario's first, and the new ones after them."""
        return (*self._more.known_classes, *self._more.new_classes)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the scenario."""
        return self._base.splits

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; the training's has both kinds, evenly mixed.

        What does not fit into memory is shuffled a stretch at a time: each is to hold both.
        """
        known = self._base.load(split).map(
            lambda example: {
                "image": example["image"],
                "label": tf.cast(example["label"], tf.int64),
            }
        )
        if split != "train" or not len(self._more.labels):
            return known
        labels = tf.data.Dataset.from_tensor_slices(self._more.labels.astype(np.int64))
        more = tf.data.Dataset.zip({"image": self._more.images, "label": labels})
        kinds = _mixed(self._more.among, len(self._more.labels))
        joined = tf.data.Dataset.choose_from_datasets(
            [known, more],
            tf.data.Dataset.from_tensor_slices(kinds),
            stop_on_empty_dataset=False,
        )
        return joined.apply(tf.data.experimental.assert_cardinality(len(kinds)))


def _mixed(known: int, more: int) -> np.ndarray:
    """Return int64 zeros, as many as are known, and ones, as many as come to them, evenly spread.

    Example:
        >>> _mixed(4, 2)
        array([0, 1, 0, 0, 1, 0])
    """
    places = np.concatenate([(np.arange(n) + 0.5) / n for n in (known, more)])
    return (np.argsort(places, kind="stable") >= known).astype(np.int64)
