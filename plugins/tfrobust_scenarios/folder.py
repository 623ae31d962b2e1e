"""A folder of class folders of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError, printable
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.class_folders import LAYOUT, ClassFolders, class_folders
from tfrobust_scenarios.pictures import keep_pillow_quiet, picture


@plugin
class ImageFolder(Scenario):
    """Images in one folder per class.

    If the root has folders `train` and `test` of class folders, and possibly `validation`, they are
    the splits. Otherwise every fifth image of each class, in the order of the names, is a test
    image. Names that start with a dot are ignored, and so are other files; `notes` counts them.
    """

    path: Path | None = option("root folder", default=None)
    height: int = option("height of the resized images, in pixels", default=64, ge=1)
    width: int = option("width of the resized images, in pixels", default=64, ge=1)
    grey: bool = option("load one grey channel instead of three", default=False)
    seed: int = option("seed of the order of the images", default=0, ge=0)

    @property
    def image_shape(self) -> ImageShape:
        """As the options say."""
        return self.height, self.width, 1 if self.grey else 3

    @property
    def class_names(self) -> tuple[str, ...]:
        """The folders' names, sorted; what does not print in them is spelled out."""
        return self._found.classes

    @property
    def splits(self) -> tuple[str, ...]:
        """The folders `train`, `validation` and `test` that there are, or `train` and `test`."""
        return tuple(self._found.files)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and which class a split has no image of."""
        return self._found.notes

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split in a fixed, shuffled order; see `Scenario.load`.

        Raises:
            DataError: no such folder, no images in it, or classes that cannot be right.
        """
        files = self._found.files[split]
        if not files:
            raise DataError(
                f"{printable(str(self.path))}: no images of split {split!r}: every fifth of a "
                f"class is one, and no class has five; {LAYOUT}"
            )
        keep_pillow_quiet()
        order = np.random.default_rng(self.seed).permutation(len(files))
        paths = np.array([os.fsencode(path) for path, _ in files])[order]
        labels = np.array([label for _, label in files], np.int64)[order]
        slices = tf.data.Dataset.from_tensor_slices((paths, labels))
        return slices.map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def _example(self, path: Any, label: Any) -> dict[str, Any]:
        # As stateless, it keeps running in parallel where training is deterministic.
        image = tf.numpy_function(self._picture, [path], tf.float32, stateful=False)
        image = tf.ensure_shape(image, (None, None, self.image_shape[2]))
        resized = tf.image.resize(image, (self.height, self.width), antialias=True)
        return {"image": tf.clip_by_value(resized, 0.0, 1.0), "label": label}

    def _picture(self, path: bytes) -> np.ndarray:
        name = os.path.relpath(os.fsdecode(path), self.path)
        return picture(path, self.image_shape[2], name)

    @property
    def _found(self) -> ClassFolders:
        if self.path is None:
            raise DataError(f"images: which folder? pass -p images.path=FOLDER; {LAYOUT}")
        return class_folders(self.path)
