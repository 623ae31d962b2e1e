"""Datasets of objects with boxes as a classification of objects in their surroundings.

An image is taken if all its objects are of one category, at most `max_instances` of them, and their
boxes cover at most `max_foreground` of it. It is scaled to `size` along its shorter side and
cropped about the middle; one whose object is lost by that is left out.

The selection is that of Akumalla, Haney & Bazhenov, "Contextual fusion for adversarial robustness"
(2020), section 2.2.
"""

from __future__ import annotations

import abc
import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfrobust.boxes import cropped
from tfrobust.errors import DataError, UsageError, did_you_mean
from tfrobust.options import option, plugin
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.object_selection import Annotated, Selection, Source
from tfrobust_scenarios.tfds import newest_version, prepared

_FEW = 8  # classes of a test set of similar or dissimilar ones, as in the paper


@plugin
class ObjectScenario(Scenario):
    """Objects in their surroundings, with boxes.

    Attributes:
        called: the scenario's name, for messages.
    """

    called: ClassVar[str]

    classes: int | str | tuple[str, ...] | None = option(
        "so many of the most frequent, or names with commas between; none: all",
        default=None,
    )
    max_instances: int = option("objects an image", default=2, ge=1)
    max_foreground: float = option("share of the image that boxes cover", default=0.5, gt=0, le=1)
    supercategories: Literal["similar", "dissimilar"] | None = option(
        "test images of 8 classes of one supercategory, or each of another; none: of all classes",
        default=None,
    )
    size: int = option("side of the images", default=224, ge=1, le=4096)
    seed: int = option("of what is drawn: a split, or supercategories' classes", default=0, ge=0)
    strict: bool = option("refuse missing images, and do not leave them out", default=False)

    @property
    def image_shape(self) -> ImageShape:
        """Square, colour."""
        return self.size, self.size, 3

    @property
    def class_names(self) -> tuple[str, ...]:
        """The dataset's, the most frequent first unless they were named."""
        found = self._found
        names = _classes(self.called, found, self.classes)
        for name in names if self.classes is not None else ():
            images = [each for each in found.images if each.category == name]
            if not self._reach_every_split(images):
                raise DataError(
                    f"{self.called}: class {name!r}: {len(images)} images fit, too few for each of "
                    f"{', '.join(self.splits)}; leave it out, or raise max_foreground"
                )
        return names

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Look through what is there, which is read as it is: what fits, and what is broken.

        What TensorFlow Datasets has not prepared yet, it downloads and prepares before.

        Raises:
            UsageError: it takes no archive.
            DataError: it cannot be downloaded; or an image is missing or broken, where `strict`.
        """
        if archive or sha256:
            raise UsageError(
                f"{self.called}: takes no archive; leave out --archive and --sha256, and see "
                f"tfrobust plugins show scenarios/{self.called}"
            )
        if self._stored and not newest_version(self._stored):
            prepared(self._stored)
        images = {split: self._split(split) for split in self.splits}
        every = [each for part in images.values() for each in part]
        broken = (f"{name}: broken" for name in self._source.broken(every))
        skipped = (*self._found.missing, *broken)
        if strict and skipped:
            raise DataError(skipped[0])
        sizes = {split: len(part) for split, part in images.items()}
        return Prepared(self._source.folder, sizes, skipped)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split with `boxes` `(n, 4)`; see `Scenario.load`.

        Raises:
            DataError: the data is not there, or nothing in it fits.
            UsageError: a class it does not have.
        """
        images, names = self._split(split), self.class_names
        if not images:
            raise DataError(f"{self._source.folder}: no images of split {split!r} fit the options")
        counts = np.array([len(each.boxes) for each in images])
        padded = np.zeros((len(images), counts.max(), 4), np.float32)
        for row, each in zip(padded, images, strict=True):
            row[: len(each.boxes)] = each.boxes
        labels = tf.constant([names.index(each.category) for each in images], tf.int64)
        boxes, many = tf.constant(padded), tf.constant(counts)

        def as_example(row: Any, picture: Any) -> dict[str, Any]:
            return {
                "image": _scaled(picture, self.size),
                "label": labels[row],
                "boxes": boxes[row, : many[row]],
            }

        pictures = self._source.pictures(images)
        return pictures.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)

    @property
    def _stored(self) -> str | None:
        """What TensorFlow Datasets calls it; none: it is read from elsewhere."""
        return None

    @property
    @abc.abstractmethod
    def _source(self) -> Source:
        """Where the images come from."""

    @abc.abstractmethod
    def _parted(
        self, images: Sequence[Annotated], split: str, random: np.random.Generator
    ) -> list[Annotated]:
        """Return those images that belong to a split."""

    @abc.abstractmethod
    def _reach_every_split(self, images: Sequence[Annotated]) -> bool:
        """Tell whether there is one of these images, of one class, in each split."""

    @property
    def _found(self) -> Selection:
        found = _selected(self._source, self.max_instances, self.max_foreground)
        if self.strict and found.missing:
            raise DataError(found.missing[0])
        return found

    def _split(self, split: str) -> list[Annotated]:
        """Return the images of one split, in a drawn order."""
        found, chosen = self._found, []
        for name in self.class_names:
            random = np.random.default_rng([self.seed, *name.encode()])  # whatever others there are
            images = [each for each in found.images if each.category == name]
            chosen += self._parted(images, split, random)
        if split == "test" and self.supercategories:
            few = self._few(found)
            chosen = [each for each in chosen if each.category in few]
        chosen = [each for each in map(_squared, chosen) if len(each.boxes)]
        random = np.random.default_rng(self.seed)
        return [chosen[k] for k in random.permutation(len(chosen))]

    def _few(self, found: Selection) -> set[str]:
        """Return the classes of a test set of similar or dissimilar ones."""
        random = np.random.default_rng(self.seed)
        of: dict[str, list[str]] = {}
        for name in self.class_names:
            of.setdefault(found.supercategories[name], []).append(name)
        if self.supercategories == "similar":
            most = max(of.values(), key=len)
            return {most[k] for k in random.permutation(len(most))[:_FEW]}
        drawn = [names[random.integers(len(names))] for names in of.values()]
        return {drawn[k] for k in random.permutation(len(drawn))[:_FEW]}


def _scaled(picture: Any, size: int) -> Any:
    """Return the middle square of a picture, scaled."""
    image = tf.image.convert_image_dtype(picture, tf.float32)
    side = tf.minimum(tf.shape(image)[0], tf.shape(image)[1])
    square = tf.image.resize_with_crop_or_pad(image, side, side)
    return tf.clip_by_value(tf.image.resize(square, (size, size), antialias=True), 0.0, 1.0)


def _squared(image: Annotated) -> Annotated:
    """Return an image with its boxes as its middle square has them."""
    return image.with_boxes(cropped(image.boxes, _middle(image.height, image.width)))


def _middle(height: int, width: int) -> np.ndarray:
    """Return the middle square, cut as TensorFlow cuts it: the spare pixel is below or right."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.array([top, left, top + side, left + side]) / [height, width, height, width]


def _classes(
    called: str, found: Selection, wanted: int | str | Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of the classes that are wanted: a count, names, or all."""
    counts = Counter(each.category for each in found.images)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))
    if wanted is None or isinstance(wanted, int) or (isinstance(wanted, str) and wanted.isdigit()):
        count = len(frequent) if wanted is None else int(wanted)
        if not 2 <= count <= len(frequent):
            raise UsageError(
                f"{called}: classes: expected 2 to {len(frequent)}, which have images that fit; "
                f"received: {count}"
            )
        return tuple(frequent[:count])
    listed = wanted.split(",") if isinstance(wanted, str) else wanted
    named = tuple(each.strip() for each in listed if each.strip())
    for name in named:
        if name not in counts:
            raise UsageError(
                f"{called}: no class {name!r} with images that fit{did_you_mean(name, frequent)}"
            )
    if len(named) < 2 or len(set(named)) < len(named):
        raise UsageError(
            f"{called}: classes: expected two or more, each once; received: {wanted!r}"
        )
    return named


@functools.lru_cache(maxsize=8)
def _selected(source: Source, max_instances: int, max_foreground: float) -> Selection:
    return source.selection(max_instances, max_foreground)
