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

from tfrobust.errors import DataError, UsageError, did_you_mean, one_line
from tfrobust.options import option, plugin
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.tfds import data_folder
from tfrobust_scenarios.tiny_imagenet_archive import SIDE
from tfrobust_scenarios.tiny_imagenet_builder import NAME, VERSION, prepared_from

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
    seed: int = option("seed of the test images", default=0, ge=0)
    test_classes: str | tuple[str, ...] | None = option(
        "test only on these of the `classes`; none: on all", default=None
    )

    @property
    def image_shape(self) -> ImageShape:
        """64×64, colour."""
        return SIDE, SIDE, 3

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
        wnids = tf.constant(self._wnids)
        decode = _stored(_home()).info.features["image"].decode_example
        dataset = self._official(split) if self.test_share is None else self._drawn(split)

        def as_example(features: dict[str, Any]) -> dict[str, Any]:
            return {
                "image": tf.cast(decode(features["image"]), tf.float32) / 255.0,
                "label": tf.argmax(wnids == features["wnid"], output_type=tf.int64),
                "boxes": features["box"][tf.newaxis],
            }

        if split == "test" and self.test_classes is not None:
            dataset = dataset.filter(_of(self._tested))
        return dataset.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)

    def _official(self, split: str) -> tf.data.Dataset:
        return _encoded(_stored(_home()), _SPLITS[split]).filter(_of(self._wnids))

    def _drawn(self, split: str) -> tf.data.Dataset:
        """Return the images of one side of a split that is drawn class by class."""
        wnids = self._wnids
        chosen = tf.constant(_drawn(_stored(_home()), tuple(wnids), self.test_share, self.seed))
        wanted = chosen if split == "test" else ~chosen
        numbered = _encoded(_stored(_home()), _ALL).filter(_of(wnids)).enumerate()
        return numbered.filter(lambda number, _: wanted[number]).map(lambda _, features: features)

    @property
    def _tested(self) -> list[str]:
        listed = _listed("test_classes", self.test_classes or ())
        tested = [_wnid(name, self._words) for name in listed]
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
        return [_wnid(name, words) for name in _listed("classes", self.classes, 2)]


def _encoded(builder: Any, split: str) -> tf.data.Dataset:
    """Return a stored split with its images as they are stored: decoding all takes long."""
    import tensorflow_datasets as tfds

    kept = {"image": tfds.decode.SkipDecoding()}
    return builder.as_dataset(split=split, shuffle_files=False, decoders=kept)


def _of(wnids: Sequence[str]) -> Callable[[dict[str, Any]], Any]:
    """Return a predicate: whether an image belongs to one of the classes."""
    wanted = tf.constant(list(wnids))
    return lambda features: tf.reduce_any(wanted == features["wnid"])


@functools.lru_cache(maxsize=8)
def _drawn(builder: Any, wnids: tuple[str, ...], share: float, seed: int) -> np.ndarray:
    """Return which of all images of some classes are drawn for the test, class by class."""
    of = _encoded(builder, _ALL).filter(_of(wnids)).map(lambda features: features["wnid"])
    classes = np.array(list(of.as_numpy_iterator()))
    drawn = np.zeros(len(classes), bool)
    for wnid in wnids:
        random = np.random.default_rng([seed, *wnid.encode()])  # independent of other classes
        places = np.flatnonzero(classes == wnid.encode())
        drawn[random.permutation(places)[: round(share * len(places))]] = True
    return drawn


def _listed(option: str, classes: str | Sequence[str], least: int = 1) -> list[str]:
    """Return the classes one by one, from a list, a file or a text with commas."""
    if not isinstance(classes, str):
        listed = list(classes)
    else:
        listed = _lines(classes) or classes.split(",")
    names = [name.strip() for name in listed if name.strip()]
    if len(set(names)) < least or len(set(names)) < len(names):
        count = "two" if least > 1 else "one"
        raise UsageError(
            f"tiny_imagenet: {option}: expected {count} or more, each once; received: {classes!r}"
        )
    return names


def _lines(file: str) -> list[str]:
    """Return the lines of a file; none where a text is a list of classes or one class."""
    try:
        if "," in file or not Path(file).is_file():
            return []
        return Path(file).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:  # a name that no file can have, a file that is no text
        raise UsageError(
            f"tiny_imagenet: {file!r}: neither classes nor a file of them ({one_line(error)})"
        ) from error


def _wnid(called: str, words: dict[str, list[str]]) -> str:
    """Return the WordNet id of a class."""
    if called in words:
        return called
    having = [w for w, names in words.items() if called.lower() in map(str.lower, names)]
    if len(having) == 1:
        return having[0]
    if having:
        raise UsageError(
            f"tiny_imagenet: classes: {called!r} is the name of {', '.join(having)}; take an id"
        )
    every = [*words, *(name for names in words.values() for name in names)]
    raise UsageError(f"tiny_imagenet: no class {called!r}{did_you_mean(called, every)}")


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
