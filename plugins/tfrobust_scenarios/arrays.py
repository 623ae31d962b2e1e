"""Images and labels from an `.npz` file."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError, StoreError
from tfrobust.files import read_arrays
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario, check_images
from tfrobust.types import Images, ImageShape, Labels

_HOW = "pass -p arrays.path=FILE with `images` (n, height, width, channels) and `labels` (n,)"


@plugin
class Arrays(Scenario):
    """An `.npz` with `images`, float32 in [0, 1], and `labels`, integers.

    Arrays named `train_images`, `train_labels`, `test_images`, … make splits; plain `images` and
    `labels` serve as every split.
    """

    path: Path | None = option("the .npz file", default=None)
    classes: int | None = option(
        "how many; none: one more than the largest label", default=None, ge=2
    )

    @property
    def image_shape(self) -> ImageShape:
        """That of the arrays."""
        height, width, channels = self._arrays(self.splits[0])[0].shape[1:]
        return height, width, channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels as text."""
        most = max(int(self._arrays(split)[1].max()) for split in self.splits) + 1
        return tuple(map(str, range(max(2, self.classes or most))))

    @property
    def splits(self) -> tuple[str, ...]:
        """Those the file names, or `train` and `test`, which are then the same images."""
        names = _read(*_identity(self.path))
        found = tuple(s for s in ("train", "validation", "test") if f"{s}_images" in names)
        return found or ("train", "test")

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; see `Scenario.load`.

        Raises:
            DataError: the file is missing, damaged, pickled, or its content out of range.
        """
        images, labels = self._arrays(split)
        check_images(images, labels, self.num_classes)
        slices = {"image": images, "label": labels.astype(np.int64)}
        return tf.data.Dataset.from_tensor_slices(slices)

    def _arrays(self, split: str) -> tuple[Images, Labels]:
        named = _read(*_identity(self.path))
        prefix = f"{split}_" if f"{split}_images" in named else ""
        images, labels = named.get(f"{prefix}images"), named.get(f"{prefix}labels")
        if images is None or labels is None:
            raise DataError(
                f"{self.path}: expected arrays `{prefix}images` and `{prefix}labels`; "
                f"received: {', '.join(named) or 'none'}"
            )
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
            raise DataError(
                f"{self.path}: expected images (n, height, width, channels) and labels (n,); "
                f"received: {images.shape} and {labels.shape}"
            )
        return images, labels


def _identity(path: Path | None) -> tuple[Path, float]:
    """Return the path and its time stamp: a file that changes is read again."""
    if path is None:
        raise DataError(f"arrays: which file? {_HOW}")
    try:
        return path, os.stat(path).st_mtime
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {_HOW}") from error


@functools.lru_cache(maxsize=2)
def _read(path: Path, _changed: float) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except StoreError as error:
        raise DataError(str(error)) from error
