"""A folder of class folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png"}
_SPLITS = ("train", "validation", "test")
_LAYOUT = "expected ROOT/CLASS/*.png, or ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png"


@plugin
class ImageFolder(Scenario):
    """Images sorted into one folder a class.

    Where the root has folders `train` and `test` they are the splits. Otherwise every fifth image
    of each class, in the order of the names, is a test image.
    """

    path: Path | None = option("the root folder", default=None)
    height: int = option("images are resized to this many rows", default=64, ge=1)
    width: int = option("and this many columns", default=64, ge=1)
    grey: bool = option("one channel instead of three", default=False)
    seed: int = option("of the order of the images", default=0, ge=0)

    @property
    def image_shape(self) -> ImageShape:
        """As the options say."""
        return self.height, self.width, 1 if self.grey else 3

    @property
    def class_names(self) -> tuple[str, ...]:
        """The folders' names, sorted."""
        root = self._root()
        holder = root / "train" if self._has_splits(root) else root
        return tuple(sorted(p.name for p in holder.iterdir() if p.is_dir()))

    @property
    def splits(self) -> tuple[str, ...]:
        """The folders `train`, `validation` and `test` that there are, or `train` and `test`."""
        root = self._root()
        if self._has_splits(root):
            return tuple(split for split in _SPLITS if (root / split).is_dir())
        return "train", "test"

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split in a fixed, shuffled order; see `Scenario.load`.

        Raises:
            DataError: no such folder, or no images in it.
        """
        files, labels = self._list(split)
        order = np.random.default_rng(self.seed).permutation(len(files))
        slices = tf.data.Dataset.from_tensor_slices(
            (np.array(files)[order], np.array(labels, np.int64)[order])
        )
        return slices.map(self._read, num_parallel_calls=tf.data.AUTOTUNE)

    def _read(self, file: Any, label: Any) -> dict[str, Any]:
        channels = self.image_shape[2]
        decoded = tf.io.decode_image(tf.io.read_file(file), channels, expand_animations=False)
        image = tf.image.convert_image_dtype(decoded, tf.float32)
        image.set_shape((None, None, channels))
        resized = tf.image.resize(image, (self.height, self.width), antialias=True)
        return {"image": tf.clip_by_value(resized, 0.0, 1.0), "label": label}

    def _list(self, split: str) -> tuple[list[str], list[int]]:
        root = self._root()
        own_folder = self._has_splits(root)
        holder = root / split if own_folder else root
        files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(self.class_names):
            found = sorted(
                str(p) for p in (holder / name).glob("*") if p.suffix.lower() in _SUFFIXES
            )
            if not own_folder:
                test = set(found[4::5])
                found = [file for file in found if (file in test) == (split == "test")]
            files += found
            labels += [label] * len(found)
        if not files:
            raise DataError(f"{holder}: no images of split {split!r}; {_LAYOUT}")
        return files, labels

    def _root(self) -> Path:
        if self.path is None:
            raise DataError(f"images: which folder? pass -p images.path=FOLDER; {_LAYOUT}")
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder; {_LAYOUT}")
        if not any(p.is_dir() for p in self.path.iterdir()):
            raise DataError(f"{self.path}: no class folders in it; {_LAYOUT}")
        return self.path

    @staticmethod
    def _has_splits(root: Path) -> bool:
        return (root / "train").is_dir() and (root / "test").is_dir()
