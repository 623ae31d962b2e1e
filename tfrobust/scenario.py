"""The `Scenario` and `Shift` contracts: where images come from, and what changes a scene."""

from __future__ import annotations

import abc
import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.errors import UsageError
from tfrobust.options import record
from tfrobust.preparation import Preparation, plain_preparation
from tfrobust.registry import name_of
from tfrobust.types import Image, Images, ImageShape, Seeds


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A dataset that lies ready.

    Attributes:
        folder: where.
        images: how many, by the split's name there.
        skipped: a line for each image that was left out, with the reason.
    """

    folder: Path
    images: dict[str, int]
    skipped: tuple[str, ...] = ()


class Scenario(abc.ABC):
    """A dataset with its splits; its fields are its options.

    Attributes:
        bounded: whether the images lie in [0, 1]; features, which may be trained on too, do not.
        has_boxes: whether every example has `boxes`; messages recommend such scenarios for attacks
            on a region.
    """

    bounded: ClassVar[bool] = True
    has_boxes: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def image_shape(self) -> ImageShape:
        """`(height, width, channels)`."""

    @property
    @abc.abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the labels."""

    @property
    def num_classes(self) -> int:
        """How many classes."""
        return len(self.class_names)

    @property
    @abc.abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of the splits: `train`, `test` and, where the data has one, `validation`."""

    @property
    def preparation(self) -> Preparation | None:
        """How a picture file becomes an image of it; `None`: pictures cannot become any.

        By default a picture is scaled to `image_shape`. An exported classifier that takes picture
        files does what this says, and so it must give the pixels of `load`.
        """
        return plain_preparation(self.image_shape)

    @property
    def options(self) -> dict[str, Any]:
        """Its options as plain JSON values."""
        return record(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that a user should know about the data, such as what was left out.

        Raises:
            DataError: the data cannot be used.
        """
        return ()

    def with_classes(self, count: int) -> str:
        """Return how a user declares `count` classes; empty where the data determine them."""
        return ""

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Prepare the files that `load` reads; by default none are needed.

        Args:
            archive: the dataset's official archive; none: it is downloaded.
            sha256: what its checksum must be; none: the official one's, of a download.
            strict: refuse a broken image instead of leaving it out.

        Raises:
            UsageError: it takes no archive, or needs no preparation.
            DataError: what is there cannot be used.
        """
        raise UsageError(f"{name_of(self)}: needs no preparation")

    @abc.abstractmethod
    def load(self, split: str) -> tf.data.Dataset:
        """Return one split, always in the same order.

        Returns:
            A finite dataset of `{"image": float32 (height, width, channels) in [0, 1],
            "label": int64 ()}` and, where the data has them, `"boxes"`, float32 `(n, 4)`.

        Raises:
            DataError: the data is missing, unreadable or out of range.
        """

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return rows `[start, stop)` of `load(split)`, in the same order.

        By default the images before `start` are read and dropped. A scenario that can open a slice
        directly overrides this.

        Args:
            split: one of `splits`.
            start: the first row, from 0; past the end: no rows.
            stop: one more than the last row; beyond the end: all that there are.

        Example:
            >>> from tfrobust.registry import create
            >>> len(list(create("scenarios", "digits").load_rows("test", 10, 13)))
            3
        """
        dataset = self.load(split)
        if 0 <= dataset.cardinality() <= start:
            return dataset.take(0)  # tf.data may count what it skips in 32 bits
        return dataset.skip(start).take(max(0, stop - start))

    def count(self, split: str) -> int | None:
        """Return how many images a split has, where that is known without reading them."""
        return None


class Shift(abc.ABC):
    """Changes the scene, not the label; knows no model. Its fields are its options.

    Attributes:
        keeps_geometry: whether every object stays in its place, so that its box still fits.
        severity: how strong it is; `None`: it has one strength. A shift with several declares it as
            an option, which users write after its name: `fog.3`.
    """

    keeps_geometry: ClassVar[bool] = False
    severity: int | None = None

    @abc.abstractmethod
    def __call__(self, image: Image, *, seed: Any) -> Any:
        """Return the shifted image.

        Args:
            image: float32 `(height, width, channels)` in [0, 1].
            seed: int32 `(2,)`, a stateless seed of this image.

        Returns:
            float32 of the same shape, in [0, 1].
        """

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Return a batch of shifted images, each shifted with its own seed.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            seeds: int32 `(batch, 2)`.

        Returns:
            float32 of the same shape, in [0, 1].
        """
        return tf.map_fn(
            lambda image_and_seed: self(image_and_seed[0], seed=image_and_seed[1]),
            (images, seeds),
            fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
        )


class BatchShift(Shift):
    """A shift that is applied to a whole batch at once, which makes training faster."""

    @abc.abstractmethod
    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Return a batch of shifted images; see `Shift`."""

    def __call__(self, image: Image, *, seed: Any) -> Any:
        """Return the shifted image; see `Shift`."""
        image, seed = tf.convert_to_tensor(image, tf.float32), tf.convert_to_tensor(seed)
        return self.batch(image[tf.newaxis], seeds=seed[tf.newaxis])[0]
