"""Image classification datasets of the Hugging Face Hub, and local ones in its formats."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError, UsageError
from tfrobust.options import option, plugin
from tfrobust.preparation import Preparation, Resize
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import Image, ImageShape
from tfrobust_scenarios.huggingface_reading import Asked, Opened, open_dataset
from tfrobust_scenarios.pictures import is_grey, keep_pillow_quiet, picture, picture_in


@plugin
class HuggingFace(Scenario):
    """A dataset of the Hugging Face Hub, or a local folder of Parquet files or of pictures.

    Splits, the columns of images and classes, and the names of the classes are recognised, or given
    as options. Images have the size of the first one, unless `height` and `width` say otherwise.
    Nothing of a dataset is run.
    """

    dataset: str | None = option("name on the Hub, such as mnist, or a local folder", default=None)
    config: str | None = option("configuration of the dataset; none: its only one", default=None)
    revision: str | None = option("branch, tag or commit; none: the newest", default=None)
    image: str | None = option("column of the images; none: recognised", default=None)
    label: str | None = option("column of the classes; none: recognised", default=None)
    train: str | None = option("its training split; none: train", default=None)
    test: str | None = option("its test split; none: test, or else validation", default=None)
    validation: str | None = option("its validation split; none: recognised", default=None)
    height: int | None = option("height in pixels; none: that of the first", default=None, ge=1)
    width: int | None = option("width in pixels; none: that of the first", default=None, ge=1)
    grey: bool | None = option("one channel or three; none: as the first image", default=None)
    seed: int = option("seed of the order of the images", default=0, ge=0)
    cache: Path | None = option("folder for downloads; none: HF_HOME", default=None)

    @property
    def image_shape(self) -> ImageShape:
        """As the options say, or as the first image is."""
        height, width, grey = self.height, self.width, self.grey
        if height is None or width is None or grey is None:
            first = _first_shape(self._asked)
            height, width = height or first[0], width or first[1]
            grey = first[2] == 1 if grey is None else grey
        return height, width, 1 if grey else 3

    @property
    def preparation(self) -> Preparation:
        """Turned upright, in grey or in colour, and scaled; see `Scenario`."""
        height, width, channels = self.image_shape
        sized = Resize(height=height, width=width)
        return Preparation(channels=1 if channels == 1 else 3, steps=(sized,), upright=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The dataset's own; of a column of numbers, the numbers."""
        return self._opened.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """`train`, `test` and, where the dataset has a further one, `validation`."""
        return tuple(self._opened.splits)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which split is taken for which, where the dataset has no test split."""
        return self._opened.notes

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Download the dataset, and decode every picture.

        Raises:
            UsageError: it takes no archive.
            DataError: it cannot be had, or the first picture that cannot be read.
        """
        if archive or sha256:
            raise UsageError("huggingface: takes no archive; leave out --archive and --sha256")
        keep_pillow_quiet()
        sizes = {split: self.count(split) for split in self.splits}
        for split, size in sizes.items():
            for row in range(size):
                self._picture(split, row)
        return Prepared(Path(self.dataset or ""), sizes)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split in a fixed, shuffled order; see `Scenario.load`.

        Raises:
            DataError: the dataset cannot be had, or has no images or classes.
        """
        return self.load_rows(split, 0, self.count(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; no other picture is decoded."""
        rows = self._opened.splits[split]
        keep_pillow_quiet()
        # Many datasets are sorted by class, and `--limit` takes the first images.
        order = np.random.default_rng(self.seed).permutation(len(rows.labels))
        order = order[start : max(start, stop)]
        channels = self.image_shape[2]

        def read(row: Any, label: Any) -> dict[str, Any]:
            # As stateless, it keeps running in parallel where training is deterministic.
            pixels = tf.numpy_function(
                functools.partial(self._picture, split), [row], tf.float32, stateful=False
            )
            image = self.preparation(tf.ensure_shape(pixels, (None, None, channels)))
            return {"image": tf.ensure_shape(image, self.image_shape), "label": label}

        slices = tf.data.Dataset.from_tensor_slices((order, rows.labels[order]))
        return slices.map(read, num_parallel_calls=tf.data.AUTOTUNE)

    def count(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self._opened.splits[split].labels)

    def _picture(self, split: str, row: int) -> Image:
        file = self._opened.file_of(split, row)
        return _decoded(file, self.image_shape[2], f"huggingface: row {row} of {split}")

    @property
    def _asked(self) -> Asked:
        if self.dataset is None:
            raise DataError(
                "huggingface: which dataset? pass -p huggingface.dataset=NAME, of the Hub, or a "
                "local folder"
            )
        return Asked(
            self.dataset, self.config, self.revision, self.image, self.label, self.train, self.test,
            self.validation, self.cache,
        )  # fmt: skip

    @property
    def _opened(self) -> Opened:
        return _opened_once(self._asked)


_opened_once = functools.lru_cache(maxsize=4)(open_dataset)


@functools.lru_cache(maxsize=4)
def _first_shape(asked: Asked) -> ImageShape:
    """Return the shape of the first training image."""
    opened = _opened_once(asked)
    if not len(opened.splits["train"].labels):
        raise DataError("huggingface: the training split holds no images; choose another")
    file = opened.file_of("train", 0)
    content = Path(file).read_bytes() if isinstance(file, str) else file
    channels = 1 if is_grey(content) else 3
    height, width, _ = _decoded(content, channels, "huggingface: row 0 of train").shape
    return height, width, channels


def _decoded(file: bytes | str, channels: int, name: str) -> Image:
    read = picture if isinstance(file, str) else picture_in
    return read(file, channels, name)  # type: ignore[arg-type]
