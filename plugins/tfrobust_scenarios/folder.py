"""A folder of class folders of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError, UsageError, printable
from tfrobust.options import option, plugin
from tfrobust.preparation import Preparation, Resize
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.class_folders import LAYOUT, ClassFolders, class_folders
from tfrobust_scenarios.picture_graph import decoded
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
    def preparation(self) -> Preparation:
        """Turned upright, in grey or in colour, and scaled; see `Scenario`."""
        height, width, channels = self.image_shape
        sized = Resize(height=height, width=width)
        return Preparation(channels=1 if channels == 1 else 3, steps=(sized,), upright=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The folders' names, sorted; what does not print in them is spelled out."""
        return self._folders.classes

    @property
    def splits(self) -> tuple[str, ...]:
        """The folders `train`, `validation` and `test` that there are, or `train` and `test`."""
        return tuple(self._folders.files)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and which class a split has no image of."""
        return self._folders.notes

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Decode every picture; nothing is written.

        Raises:
            UsageError: it takes no archive.
            DataError: the first picture that cannot be read, by name.
        """
        if archive or sha256:
            raise UsageError("images: takes no archive; leave out --archive and --sha256")
        folders, root = self._folders, self.path
        keep_pillow_quiet()
        for path, _ in (file for files in folders.files.values() for file in files):
            picture(path, self.image_shape[2], os.path.relpath(path, root))
        sizes = {split: len(files) for split, files in folders.files.items()}
        return Prepared(Path(root or ""), sizes)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split in a fixed, shuffled order; see `Scenario.load`.

        Raises:
            DataError: no such folder, no images in it, or classes that cannot be right.
        """
        return self.load_rows(split, 0, self.count(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; no other picture is opened."""
        files = self._files(split)
        keep_pillow_quiet()
        order = np.random.default_rng(self.seed).permutation(len(files))[start : max(start, stop)]
        paths = np.array([os.fsencode(files[place][0]) for place in order], object)
        labels = np.array([files[place][1] for place in order], np.int64)
        slices = tf.data.Dataset.from_tensor_slices((tf.constant(paths, tf.string), labels))
        return slices.map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def count(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self._files(split))

    def _files(self, split: str) -> tuple[tuple[str, int], ...]:
        """Return the `(path, label)` of a split's pictures, by class and name."""
        files = self._folders.files[split]
        if not files:
            raise DataError(
                f"{printable(str(self.path))}: no images of split {split!r}: every fifth of a "
                f"class is one, and no class has five; {LAYOUT}"
            )
        return files

    def _example(self, path: Any, label: Any) -> dict[str, Any]:
        image = self.preparation(decoded(path, self.image_shape[2], self._picture))
        return {"image": tf.ensure_shape(image, self.image_shape), "label": label}

    def _picture(self, path: bytes) -> np.ndarray:
        name = os.path.relpath(os.fsdecode(path), self.path)
        return picture(path, self.image_shape[2], name)

    @property
    def _folders(self) -> ClassFolders:
        if self.path is None:
            raise DataError(f"images: which folder? pass -p images.path=FOLDER; {LAYOUT}")
        return class_folders(self.path)
