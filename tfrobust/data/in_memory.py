"""Scenarios whose splits are arrays in memory."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrobust.scenario import Scenario

Arrays = Mapping[str, np.ndarray]


class InMemoryScenario(Scenario):
    """A scenario whose splits are arrays in memory; a slice of rows costs nothing.

    Derive from it and write `split_arrays` in the place of `load`.
    """

    @abc.abstractmethod
    def split_arrays(self, split: str) -> Arrays:
        """Return the arrays of a split, one row an image.

        Returns:
            `{"image": float32 (n, height, width, channels), "label": int64 (n,)}` and, where the
            data has them, `"boxes"`, float32 `(n, k, 4)`.
        """

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; see `Scenario.load`."""
        return tf.data.Dataset.from_tensor_slices(dict(self.split_arrays(split)))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; see `Scenario.load_rows`."""
        rows = slice(start, max(start, stop))
        arrays = {name: array[rows] for name, array in self.split_arrays(split).items()}
        return tf.data.Dataset.from_tensor_slices(arrays)

    def count(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self.split_arrays(split)["label"])
