"""Tiny ImageNet: 200 classes of ImageNet at 64×64, each image with a box around its object.

500 training and 50 validation images a class; the validation images are the test split, as the
official test images have no labels. Classes are called by WordNet id (`n01443537`) or by any of
their names (`goldfish`); `classes` takes some of them, in their order.

Le & Yang, "Tiny ImageNet visual recognition challenge" (2015). Prepared by a builder of TensorFlow
Datasets in `TFDS_DATA_DIR`, from the official archive or from a part of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError, UsageError
from tfrobust.options import option, plugin
from tfrobust.preparation import Preparation, Resize
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.tfds_preparing import data_folder
from tfrobust_scenarios.tfds_rows import stored_count, stored_records
from tfrobust_scenarios.tiny_imagenet_archive import SIDE
from tfrobust_scenarios.tiny_imagenet_builder import NAME, VERSION, prepared_from
from tfrobust_scenarios.tiny_imagenet_classes import listed_classes, wnid_of

_SPLITS = {"train": "train", "test": "validation"}
_ALL = "train+validation"


@plugin
class TinyImagenet(Scenario):
    """Tiny ImageNet with boxes, or some classes of it (Le & Yang 2015)."""

    has_boxes = True

    classes: str | tuple[str, ...] | None = option(
        "WordNet ids or names separated by commas, or a file with one per line; none: all",
        default=None,
    )
    test_share: float | None = option(
        "share of each class's images that is for testing, drawn by `seed`; none: the "
        "validation images",
        default=None,
        gt=0,
        lt=1,
    )
    train_share: float | None = option(
        "share of each class's images to train on, the next that `seed` draws after the test "
        "images; none: all others",
        default=None,
        gt=0,
        lt=1,
    )
    seed: int = option("seed of the test images", default=0, ge=0)
    test_classes: str | tuple[str, ...] | None = option(
        "test only on these of the `classes`; none: on all", default=None
    )

    def __post_init__(self) -> None:
        if self.train_share is None:
            return
        if self.test_share is None:
            raise ValueError("train_share: expected test_share too, which it is drawn after")
        if self.train_share + self.test_share > 1:
            raise ValueError("train_share: expected at most 1 together with test_share")

    @property
    def image_shape(self) -> ImageShape:
        """64×64, colour."""
        return SIDE, SIDE, 3

    @property
    def preparation(self) -> Preparation:
        """Pictures are decoded as TensorFlow Datasets does; see `Scenario`."""
        sized = Resize(height=SIDE, width=SIDE)
        return Preparation(channels=3, steps=(sized,), dct="tensorflow")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The first name of each class; with its WordNet id where two share it."""
        names = [self._words[wnid][0] for wnid in self._wnids]
        return tuple(
            f"{name} ({wnid})" if names.count(name) > 1 else name
            for name, wnid in zip(names, self._wnids, strict=True)
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`."""
        return tuple(_SPLITS)

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Prepare the dataset from the official archive, which is downloaded if none is given.

        Raises:
            DataError: the archive is damaged, is not the official layout, or is not what its
                checksum says; or it is prepared already, from another archive.
        """
        return prepared_from(_home(), archive, sha256=sha256, strict=strict)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split with `boxes` `(1, 4)`; see `Scenario.load`.

        Raises:
            DataError: it is not prepared and cannot be downloaded.
            UsageError: a class it does not have.
        """
        return self._examples(self._records(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; of chosen classes, those before are read, not decoded."""
        if self._takes_all(split):
            rows = stored_records(_stored(_home()), _SPLITS[split], (start, stop), encoded=True)
        else:
            rows = self._records(split).skip(start).take(max(0, stop - start))
        return self._examples(rows)

    def count(self, split: str) -> int | None:
        """Return how many images a split has, if it is prepared and takes all classes."""
        there = (_home() / VERSION / "dataset_info.json").exists()
        if not there or not self._takes_all(split):
            return None
        return stored_count(_stored(_home()), _SPLITS[split])

    def _takes_all(self, split: str) -> bool:
        """Tell whether a split is one of the stored ones, image by image."""
        tested = self.test_classes if split == "test" else None
        return self.classes is None and self.test_share is None and tested is None

    def _examples(self, records: tf.data.Dataset) -> tf.data.Dataset:
        wnids = tf.constant(self._wnids)
        decode = _stored(_home()).info.features["image"].decode_example

        def as_example(features: dict[str, Any]) -> dict[str, Any]:
            return {
                "image": tf.cast(decode(features["image"]), tf.float32) / 255.0,
                "label": tf.argmax(wnids == features["wnid"], output_type=tf.int64),
                "boxes": features["box"][tf.newaxis],
            }

        return records.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)

    def _records(self, split: str) -> tf.data.Dataset:
        """Return the undecoded records of a split."""
        records = self._official(split) if self.test_share is None else self._drawn(split)
        if split == "test" and self.test_classes is not None:
            records = records.filter(_of(self._tested))
        return records

    def _official(self, split: str) -> tf.data.Dataset:
        return _encoded(_SPLITS[split]).filter(_of(self._wnids))

    def _drawn(self, split: str) -> tf.data.Dataset:
        """Return the images of one side of a split that is drawn class by class."""
        wnids = self._wnids
        tested = float(self.test_share or 0)
        drawn_to = 1.0 if self.train_share is None else tested + self.train_share
        shares = (0.0, tested) if split == "test" else (tested, drawn_to)
        wanted = tf.constant(_drawn(_stored(_home()), tuple(wnids), shares, self.seed))
        numbered = _encoded(_ALL).filter(_of(wnids)).enumerate()
        return numbered.filter(lambda number, _: wanted[number]).map(lambda _, features: features)

    @property
    def _tested(self) -> list[str]:
        listed = listed_classes("test_classes", self.test_classes or ())
        tested = [wnid_of(name, self._words) for name in listed]
        for name in tested:
            if name not in self._wnids:
                raise UsageError(f"tiny_imagenet: test_classes: {name!r} is none of `classes`")
        return tested

    @property
    def _words(self) -> dict[str, list[str]]:
        words: dict[str, list[str]] = _stored(_home()).info.metadata["words"]
        return words

    @property
    def _wnids(self) -> list[str]:
        words = self._words
        if self.classes is None:
            return list(words)
        return [wnid_of(name, words) for name in listed_classes("classes", self.classes, 2)]


def _encoded(split: str) -> tf.data.Dataset:
    """Return a stored split with its images as they are stored: decoding all takes long."""
    return stored_records(_stored(_home()), split, encoded=True)


def _of(wnids: Sequence[str]) -> Callable[[dict[str, Any]], Any]:
    """Return a predicate: whether an image belongs to one of the classes."""
    wanted = tf.constant(list(wnids))
    return lambda features: tf.reduce_any(wanted == features["wnid"])


@functools.lru_cache(maxsize=8)
def _drawn(
    builder: Any, wnids: tuple[str, ...], shares: tuple[float, float], seed: int
) -> np.ndarray:
    """Return which of all images of some classes are drawn, class by class.

    Args:
        builder: of the prepared dataset.
        wnids: of the classes.
        shares: of each class, where the images that are drawn begin and end in a random order.
        seed: of the order, which is each class's own.
    """
    of = (
        stored_records(builder, _ALL, encoded=True)
        .filter(_of(wnids))
        .map(lambda features: features["wnid"])
    )
    classes = np.array(list(of.as_numpy_iterator()))
    drawn = np.zeros(len(classes), bool)
    for wnid in wnids:
        random = np.random.default_rng([seed, *wnid.encode()])  # independent of other classes
        places = np.flatnonzero(classes == wnid.encode())
        start, stop = (round(share * len(places)) for share in shares)
        drawn[random.permutation(places)[start:stop]] = True
    return drawn


def _home() -> Path:
    """Return the folder that holds the prepared dataset's versions."""
    return data_folder() / NAME


def _stored(home: Path) -> Any:
    """Return the prepared dataset, downloading it where it is missing."""
    folder = home / VERSION
    if not (folder / "dataset_info.json").exists():
        prepared_from(home, None)
    return _opened(folder, (folder / "dataset_info.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, changed: int) -> Any:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    if "words" not in (builder.info.metadata or {}):
        raise DataError(f"{folder}: was not prepared by tfrobust; move it away, and prepare again")
    return builder
