"""Tiny ImageNet: 200 classes of ImageNet at 64×64, each image with a box round its object.

500 training and 50 validation images a class; the validation images are the test split, as the
official test images have no labels. Classes are called by WordNet id (`n01443537`) or by any of
their names (`goldfish`); `classes` takes some of them, in their order.

Le & Yang, "Tiny ImageNet visual recognition challenge" (2015). Prepared by a builder of TensorFlow
Datasets in `TFDS_DATA_DIR`, from the official archive or from a part of it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrobust.errors import DataError, UsageError, did_you_mean
from tfrobust.options import option, plugin
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.tiny_imagenet_archive import SIDE
from tfrobust_scenarios.tiny_imagenet_builder import NAME, VERSION, prepared_from

_SPLITS = {"train": "train", "test": "validation"}


@plugin
class TinyImagenet(Scenario):
    """Tiny ImageNet with boxes, or some classes of it (Le & Yang 2015)."""

    classes: str | tuple[str, ...] | None = option(
        "WordNet ids or names, with commas between, or a file of one a line; none: all",
        default=None,
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
        dataset = _stored(_home()).as_dataset(split=_SPLITS[split], shuffle_files=False)

        def as_example(features: dict[str, Any]) -> dict[str, Any]:
            return {
                "image": tf.cast(features["image"], tf.float32) / 255.0,
                "label": tf.argmax(wnids == features["wnid"], output_type=tf.int64),
                "boxes": features["box"][tf.newaxis],
            }

        wanted = dataset.filter(lambda features: tf.reduce_any(wnids == features["wnid"]))
        return wanted.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)

    @property
    def _words(self) -> dict[str, list[str]]:
        words: dict[str, list[str]] = _stored(_home()).info.metadata["words"]
        return words

    @property
    def _wnids(self) -> list[str]:
        words = self._words
        if self.classes is None:
            return list(words)
        return [_wnid(each, words) for each in _listed(self.classes)]


def _listed(classes: str | Sequence[str]) -> list[str]:
    """Return the classes one by one, from a list, a file or a text with commas."""
    if not isinstance(classes, str):
        listed = list(classes)
    elif Path(classes).is_file():
        listed = Path(classes).read_text().splitlines()
    else:
        listed = classes.split(",")
    found = [each.strip() for each in listed if each.strip()]
    if len(set(found)) < 2 or len(set(found)) < len(found):
        raise UsageError(
            f"tiny_imagenet: classes: expected two or more, each once; received: {classes!r}"
        )
    return found


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
    import tensorflow_datasets as tfds

    return Path(os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR) / NAME


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
