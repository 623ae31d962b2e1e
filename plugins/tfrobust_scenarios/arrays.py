"""Images and labels from an `.npz` file, or from a folder of `.npy` files.

Images stay in the file where it does not compress them: a few megabytes of them are read, and
checked, at a time.
"""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.data.reading import check_images
from tfrobust.errors import DataError, StoreError, system_cause
from tfrobust.files.array_rows import StoredArray, open_arrays, rows_of
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, Labels
from tfrobust_scenarios.array_checks import NUMBERED, checked_arrays, renamed

_PLAUSIBLE = 1000  # classes that the largest label may tell of, however few images there are
_AN_IMAGE = 10  # and as many more for every image: a label beyond that is an id
_MOST = 1_000_000  # classes
_HOW = "pass -p arrays.path=FILE with `images` (n, height, width, channels) and `labels` (n,)"
_CHUNK = 8 * 10**6  # bytes of images that are read at a time


@plugin
class Arrays(Scenario):
    """An `.npz`, or a folder of `.npy`, with `images`, float32 in [0, 1], and `labels`, integers.

    Arrays named `train_images`, `train_labels`, `test_images`, … make splits; plain `images` and
    `labels` serve as every split.
    """

    path: Path | None = option(
        "an .npz file, or a folder of images.npy and labels.npy", default=None
    )
    classes: int | None = option(
        "number of classes; none: the largest label + 1", default=None, ge=2, le=_MOST
    )

    @property
    def image_shape(self) -> ImageShape:
        """That of the arrays."""
        height, width, channels = self._arrays(self.splits[0])[0].shape[1:]
        return height, width, channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(map(str, range(self.classes or max(2, self._largest + 1))))

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether the labels seem to begin at 1."""
        least = min(int(self._arrays(split)[1].min()) for split in self.splits)
        if least < 1 or self.classes:
            return ()
        return (
            f"arrays: no label is 0; if they begin at 1, store `labels - 1`: as it is, there are "
            f"{self.num_classes} classes",
        )

    def with_classes(self, count: int) -> str:
        """Return the option that says so."""
        return f"-p arrays.classes={count}"

    @property
    def _largest(self) -> int:
        """The largest label, if it can be one.

        Raises:
            DataError: it is an id, not the number of a class.
        """
        told_apart = f"{self.splits[0]}_images" in _read(*_identity(self.path))
        labels = [self._arrays(split)[1] for split in self.splits[: None if told_apart else 1]]
        largest = max(int(of_split.max()) for of_split in labels)
        images = sum(map(len, labels))
        if largest >= max(_PLAUSIBLE, _AN_IMAGE * images):
            raise DataError(
                f"{self.path}: labels: expected the numbers of classes; received: up to {largest}, "
                f"with {images} images; {NUMBERED}, or say how many classes there are: "
                "-p arrays.classes=N"
            )
        return largest

    @property
    def splits(self) -> tuple[str, ...]:
        """Those the file names, or `train` and `test`, which are then the same images."""
        names = _read(*_identity(self.path))
        splits = tuple(s for s in ("train", "validation", "test") if f"{s}_images" in names)
        return splits or ("train", "test")

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; see `Scenario.load`.

        Raises:
            DataError: the file is missing, damaged, pickled, or its labels are out of range. Images
                are checked when they are read.
        """
        return self.load_rows(split, 0, self.count(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; only these are read."""
        images, labels = self._arrays(split)
        shape, classes = self.image_shape, self.num_classes
        start, stop = min(start, len(labels)), min(stop, len(labels))
        step = max(1, _CHUNK // max(1, images.dtype.itemsize * math.prod(shape)))

        def chunk(first: np.int64) -> tuple[Images, Labels]:
            last = min(int(first) + step, stop)
            return self._read_checked(images, labels, slice(int(first), last), classes)

        def read(first: Any) -> dict[str, Any]:
            # As stateless, it keeps running in parallel where training is deterministic.
            rows = tf.numpy_function(chunk, [first], (tf.float32, tf.int64), stateful=False)
            return {
                "image": tf.ensure_shape(rows[0], (None, *shape)),
                "label": tf.ensure_shape(rows[1], (None,)),
            }

        chunks = tf.data.Dataset.range(start, max(start, stop), step)
        rows = chunks.map(read, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
        return rows.apply(tf.data.experimental.assert_cardinality(max(0, stop - start)))

    def count(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self._arrays(split)[1])

    def _read_checked(
        self, images: np.ndarray | StoredArray, labels: Labels, rows: slice, classes: int
    ) -> tuple[Images, Labels]:
        """Read rows of a split.

        Raises:
            DataError: they break the contract.
        """
        try:
            read = rows_of(images, rows.start, rows.stop)
            read = read.astype(read.dtype.newbyteorder("="), copy=False)
            check_images(read, labels[rows], classes)
        except StoreError as error:
            raise DataError(str(error)) from error
        except DataError as error:
            where = f"rows {rows.start} to {rows.stop - 1}: "
            whole = rows.stop - rows.start == len(labels)
            raise DataError(f"{self.path}: {'' if whole else where}{error}") from error
        return read, labels[rows]

    def _arrays(self, split: str) -> tuple[np.ndarray | StoredArray, Labels]:
        named = _read(*_identity(self.path))
        prefix = f"{split}_" if f"{split}_images" in named else ""
        images, labels = named.get(f"{prefix}images"), named.get(f"{prefix}labels")
        if images is None or labels is None:
            raise DataError(
                f"{self.path}: expected arrays `{prefix}images` and `{prefix}labels`; "
                f"received: {', '.join(named) or 'none'}; rename them: "
                f"np.savez(FILE, {renamed(named, prefix)})"
            )
        try:
            return checked_arrays(images, labels)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error


def _identity(path: Path | None) -> tuple[Path, int]:
    """Return the path and its time stamp: a file that changes is read again."""
    if path is None:
        raise DataError(f"arrays: which file? {_HOW}")
    try:
        files = [path, *path.glob("*.npy")] if path.is_dir() else [path]
        return path, max(os.stat(file).st_mtime_ns for file in files)
    except (OSError, ValueError) as error:
        cause = system_cause(error)
        raise DataError(f"{path}: {cause}; {_HOW}") from error


@functools.lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> dict[str, np.ndarray | StoredArray]:
    if path.suffix == ".npy":
        raise DataError(
            f"{path}: expected the folder that holds images.npy and labels.npy; pass "
            f"-p arrays.path={path.parent}"
        )
    try:
        return open_arrays(path)
    except StoreError as error:
        raise DataError(str(error)) from error
