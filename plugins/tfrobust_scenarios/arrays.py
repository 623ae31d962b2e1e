"""Images and labels from an `.npz` file."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrobust.data.reading import check_images
from tfrobust.errors import DataError, StoreError, one_line, printable, system_cause
from tfrobust.files.arrays import read_arrays
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, Labels

_PLAUSIBLE = 1000  # classes that the largest label may tell of, however few images there are
_AN_IMAGE = 10  # and as many more for every image: a label beyond that is an id
_MOST = 1_000_000  # classes
_NUMBERED = "number the classes from 0, as `np.unique(labels, return_inverse=True)[1]` does"
_COLOURS = (1, 3)
_HOW = "pass -p arrays.path=FILE with `images` (n, height, width, channels) and `labels` (n,)"


@plugin
class Arrays(Scenario):
    """An `.npz` with `images`, float32 in [0, 1], and `labels`, integers.

    Arrays named `train_images`, `train_labels`, `test_images`, … make splits; plain `images` and
    `labels` serve as every split.
    """

    path: Path | None = option("path of the .npz file", default=None)
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
                f"with {images} images; {_NUMBERED}, or say how many classes there are: "
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
            DataError: the file is missing, damaged, pickled, or its content out of range.
        """
        images, labels = self._arrays(split)
        try:
            check_images(images, labels, self.num_classes)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

    def _arrays(self, split: str) -> tuple[Images, Labels]:
        named = _read(*_identity(self.path))
        prefix = f"{split}_" if f"{split}_images" in named else ""
        images, labels = named.get(f"{prefix}images"), named.get(f"{prefix}labels")
        if images is None or labels is None:
            raise DataError(
                f"{self.path}: expected arrays `{prefix}images` and `{prefix}labels`; "
                f"received: {', '.join(named) or 'none'}; rename them: "
                f"np.savez(FILE, {_renamed(named, prefix)})"
            )
        try:
            return _checked(images, labels)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error


def _renamed(named: Iterable[str], prefix: str) -> str:
    """Return the names that arrays are to be given, of every split that their names tell of."""
    words = {word for name in named for word in re.split(r"[^a-z]+", name.lower())}
    by_split = {
        "train": words & {"train", "xtrain", "ytrain"},
        "validation": words & {"validation", "valid", "val"},
        "test": words & {"test", "xtest", "ytest"},
    }
    prefixes = [f"{split}_" for split, known in by_split.items() if known] or [prefix]
    return ", ".join(f"{prefix}{what}=…" for prefix in prefixes for what in ("images", "labels"))


def _checked(images: np.ndarray, labels: np.ndarray) -> tuple[Images, Labels]:
    """Return images and labels in this machine's byte order.

    Raises:
        DataError: they are not in the shapes of images and labels; the text says how to correct it.
    """
    if images.ndim != 4 or not labels.ndim or len(images) != len(labels) or not len(images):
        hint = "; grey images: images[..., np.newaxis]" if images.ndim == 3 else ""
        raise DataError(
            f"expected images (n, height, width, channels) and labels (n,); "
            f"received: {images.shape} and {labels.shape}{hint}"
        )
    _, first, width, last = images.shape
    if 0 in images.shape:
        raise DataError(f"images: expected pixels; received: shape {images.shape}")
    if first in _COLOURS and min(width, last) > 4:
        raise DataError(
            f"images: expected (n, height, width, channels); received: {images.shape}, channels "
            "first; store np.transpose(images, (0, 2, 3, 1)); or, if the images are that low, lay "
            "them on their side: np.transpose(images, (0, 2, 1, 3))"
        )
    return images.astype(images.dtype.newbyteorder("="), copy=False), _numbers(labels)


def _numbers(labels: np.ndarray) -> Labels:
    """Return labels as int64 `(n,)`.

    Raises:
        DataError: they are no integers from 0 on; the text says how to correct it.
    """
    if labels.ndim == 2:
        what = (
            f"a column {labels.shape}; store labels[:, 0]"
            if labels.shape[1] == 1
            else f"{labels.shape}; if they are one-hot, store labels.argmax(axis=1)"
        )
        raise DataError(f"labels: expected (n,); received: {what}")
    if labels.ndim != 1:
        raise DataError(f"labels: expected (n,); received: {labels.shape}")
    if labels.dtype.kind not in "iu":
        real = labels.dtype.kind in "fb"
        unreal = labels[~np.isfinite(labels)] if real else labels[:0]
        if len(unreal):
            remedy = "leave these images out: np.isfinite(labels) tells the others"
        elif real and (labels == np.round(labels.astype(float))).all():
            remedy = "store labels.astype(np.int64)"
        else:
            remedy = _NUMBERED
        shown = one_line(printable(str([*unreal[:1], *labels[:1]][0])), 40)
        raise DataError(
            f"labels: expected integers from 0 on; received: {labels.dtype}, such as {shown}; "
            f"{remedy}"
        )
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most > np.iinfo(np.int64).max:
        raise DataError(
            f"labels: expected integers from 0 on; received: {labels.dtype} from {least} to "
            f"{most}; {_NUMBERED}"
        )
    return labels.astype(np.int64)


def _identity(path: Path | None) -> tuple[Path, int]:
    """Return the path and its time stamp: a file that changes is read again."""
    if path is None:
        raise DataError(f"arrays: which file? {_HOW}")
    try:
        return path, os.stat(path).st_mtime_ns
    except (OSError, ValueError) as error:
        cause = system_cause(error)
        raise DataError(f"{path}: {cause}; {_HOW}") from error


@functools.lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except StoreError as error:
        raise DataError(str(error)) from error
