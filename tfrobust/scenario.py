"""The `Scenario` and `Shift` contracts, and the images they bring."""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.errors import ClassifierError, DataError, UsageError, one_line, printable
from tfrobust.files.record_types import is_text
from tfrobust.options import record
from tfrobust.registry import name_of
from tfrobust.types import Images, ImageShape

_ALL = 2**62  # more images than there are; a larger number does not fit into tf.data's
# What TensorFlow says before a cause: `{{node …}} `, and the path of tf.data's steps.
_PLACE = re.compile(r"^.*(?:\}\} |Iterator::\S+: )")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A dataset that lies ready.

    Attributes:
        folder: where.
        images: how many, by the split's name there.
        skipped: what was left out: a line each, naming the image and what is wrong with it.
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
    def options(self) -> dict[str, Any]:
        """Its options as plain JSON values."""
        return record(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the data, such as what was left out of it: lines.

        Raises:
            DataError: the data cannot be used.
        """
        return ()

    def with_classes(self, count: int) -> str:
        """Return how a user says that there are `count` classes; empty where the data tell."""
        return ""

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Get ready what `load` reads; by default there is nothing to do.

        Args:
            archive: the dataset's official archive; none: it is downloaded.
            sha256: what its checksum must be; none: the official one's, of a download.
            strict: refuse an image that is broken, and do not leave it out.

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


class Shift(abc.ABC):
    """Changes the scene, not the label; knows no model. Its fields are its options.

    Attributes:
        keeps_geometry: set it where every object stays where it is, so that its box still fits.
    """

    keeps_geometry: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, image: Any, *, seed: Any) -> Any:
        """Return the shifted image.

        Args:
            image: float32 `(height, width, channels)` in [0, 1].
            seed: int32 `(2,)`, a stateless seed of this image.

        Returns:
            float32 of the same shape, in [0, 1].
        """

    def batch(self, images: Any, *, seeds: Any) -> Any:
        """Return a batch of shifted images, each as its own seed has it.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            seeds: int32 `(batch, 2)`.

        Returns:
            float32 of the same shape, in [0, 1].
        """
        return tf.map_fn(
            lambda each: self(each[0], seed=each[1]),
            (images, seeds),
            fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
        )


class BatchShift(Shift):
    """A shift that does a whole batch at once, which is how training wants it."""

    @abc.abstractmethod
    def batch(self, images: Any, *, seeds: Any) -> Any:
        """Return a batch of shifted images; see `Shift`."""

    def __call__(self, image: Any, *, seed: Any) -> Any:
        """Return the shifted image; see `Shift`."""
        image, seed = tf.convert_to_tensor(image, tf.float32), tf.convert_to_tensor(seed)
        return self.batch(image[tf.newaxis], seeds=seed[tf.newaxis])[0]


def check_fits(
    classifier: Classifier, scenario: Scenario, name: str, *, classes: bool = True
) -> None:
    """Refuse a classifier that was made for other images, or other classes where they matter.

    It may have classes of its own behind the scenario's, such as one for fooling images.

    Raises:
        ClassifierError: image shape or class count differ, or a name cannot stand in results.
    """
    for what, text in [("classifier", name), *(("class", each) for each in scenario.class_names)]:
        if not is_text(text):
            raise ClassifierError(
                f"{what}: expected a name of at most 1000 characters, none of them a control "
                f"character; received: {printable(text, 80)}; rename it"
            )
    height, width, channels = scenario.image_shape
    if (channels, height, width) == classifier.image_shape != scenario.image_shape:
        raise ClassifierError(
            f"{name} takes channels first: images: expected {scenario.image_shape}; "
            f"received: {classifier.image_shape}; put a layer first that turns them: "
            f"x = keras.Input({scenario.image_shape}); "
            "keras.Model(x, model(keras.layers.Permute((3, 1, 2))(x)))"
        )
    classes = classes and not _has_further_classes(classifier, scenario)
    for what, has, needs in (
        ("images", classifier.image_shape, scenario.image_shape),
        ("classes", classifier.num_classes, scenario.num_classes),
    ):
        if has != needs and (classes or what == "images"):
            more = what == "classes" and classifier.num_classes > scenario.num_classes
            hint = scenario.with_classes(classifier.num_classes) if more else ""
            raise ClassifierError(
                f"{name} does not fit the scenario: {what}: expected {needs}; received: {has}"
                + (f"; if the data show only some of them, give {hint}" if hint else "")
            )


def _has_further_classes(classifier: Classifier, scenario: Scenario) -> bool:
    known, names = scenario.num_classes, classifier.class_names
    further = names[known:]
    named = further != tuple(map(str, range(known, len(names))))  # not just numbered
    return bool(further) and named and names[:known] == tuple(scenario.class_names)


def check_split(scenario: Scenario, split: str) -> None:
    """Refuse a split the scenario does not have.

    Raises:
        UsageError: with the splits there are.
    """
    if split not in scenario.splits:
        raise UsageError(
            f"split: expected one of {', '.join(scenario.splits)}; received: {split!r}"
        )


def arrays(
    scenario: Scenario, split: str, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first `limit` images of a split into memory, and check them.

    Returns:
        Images float32 `(n, height, width, channels)` and labels int64 `(n,)`.

    Raises:
        UsageError: no such split, or a limit below 1.
        DataError: images or labels break the contract.
    """
    check_split(scenario, split)
    if limit is not None and limit < 1:
        raise UsageError(f"limit: expected 1 or more; received: {limit}")
    dataset = labelled(scenario.load(split))
    dataset = (dataset.take(min(limit, _ALL)) if limit else dataset).batch(1024)
    batches = list(readable(dataset.as_numpy_iterator()))
    if not batches:
        raise DataError(f"split {split!r} holds no images")
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    check_images(images, labels, scenario.num_classes)
    return images, labels.astype(np.int64)


def labelled(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return images and labels alone: boxes, more or fewer an image, go into no batch."""
    return dataset.map(lambda example: (example["image"], example["label"]))


def readable(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a dataset, and say it in one line where one cannot be read.

    Raises:
        DataError: a damaged picture, a truncated record.
    """
    remaining = iter(batches)
    while True:
        try:
            batch = next(remaining)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            cause = _PLACE.sub("", error.message).removeprefix("DataError: ")
            raise DataError(f"the images cannot be read: {one_line(cause)}") from error
        yield batch


def check_images(images: Images, labels: Any, num_classes: int, *, bounded: bool = True) -> None:
    """Refuse images that are not float32 in [0, 1] and labels that name no class.

    Raises:
        DataError: says which, and what was received.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.float32:
        raise DataError(
            f"images: expected float32 in [0, 1]; received: {images.dtype}{_as_floats(images)}"
        )
    if images.ndim != 4 or len(images) != len(labels):
        raise DataError(
            f"images: expected ({len(labels)}, height, width, channels), one for each label; "
            f"received: {images.shape}"
        )
    finite = np.isfinite(images)
    if not finite.all():
        count = int((~finite.all(axis=(1, 2, 3))).sum())
        raise DataError(
            f"images: expected values in [0, 1]; received: NaN or infinity in {count} of "
            f"{len(images)}; leave these out: np.isfinite(images).all(axis=(1, 2, 3)) tells the "
            "others"
        )
    if bounded and (images.min() < 0 or images.max() > 1):
        raise DataError(
            f"images: expected values in [0, 1]; received: {images.min()} to {images.max()}"
            f"{_into_range(images)}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels: expected integers from 0 to {num_classes - 1}; received: {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"labels: expected integers from 0 to {num_classes - 1}; "
            f"received: {labels.dtype} from {labels.min()} to {labels.max()}"
        )


def _as_floats(images: Images) -> str:
    """Return what makes numbers float32 in [0, 1]."""
    if images.dtype.kind in "iu":
        most = 65535 if images.size and images.max() > 255 else 255
        return f"; divide them: store (images / {most}).astype(np.float32)"
    return "; store images.astype(np.float32)" if images.dtype.kind == "f" else ""


def _into_range(images: Images) -> str:
    """Return what brings images into [0, 1], where their range tells."""
    least, most = images.min(), images.max()
    if least >= -1 and most <= 1:
        return "; if they run from -1 to 1, store (images + 1) / 2"
    if least >= 0 and 2 < most <= 255:
        return "; if they run from 0 to 255, store images / 255"
    return ""
