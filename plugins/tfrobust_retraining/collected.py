"""Adversarial images with the labels that were found for them, and a training on both kinds."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, Labels


@dataclasses.dataclass(frozen=True)
class Collected:
    """Images to retrain on.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`, which may lie beyond the scenario's classes.
        known_classes: names of the classes that the network has.
        new_classes: and of those it gets.
        found: what is worth telling of them, for the card.
    """

    images: Images
    labels: Labels
    known_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    found: dict[str, float | None]


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
        """Those of the network, which are the scenario's first, and the new ones behind them."""
        return (*self._more.known_classes, *self._more.new_classes)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the scenario."""
        return self._base.splits

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split: of the training's, the scenario's own images first."""
        known = self._base.load(split).map(
            lambda example: {
                "image": example["image"],
                "label": tf.cast(example["label"], tf.int64),
            }
        )
        if split != "train" or not len(self._more.images):
            return known
        more = {"image": self._more.images, "label": self._more.labels.astype(np.int64)}
        return known.concatenate(tf.data.Dataset.from_tensor_slices(more))
