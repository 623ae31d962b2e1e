"""Datasets of objects with boxes as a classification of objects in their surroundings.

An image is scaled to `size` along its shorter side and cropped about the middle. It is taken if all
its objects are of one category, at most `max_instances` of them, and their boxes cover at most
`max_foreground` of the crop.

The selection is that of Akumalla, Haney & Bazhenov, "Contextual fusion for adversarial robustness"
(2020), section 2.2. Departures: the boxes are judged as the crop has them, and an image is left out
if less than half of an object's box lies in it; the paper does not say.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfrobust.data.reading import check_split
from tfrobust.errors import DataError, UsageError
from tfrobust.options import option, plugin
from tfrobust.preparation import Preparation, Resize, Square
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.objects.selection import Annotated, Selection, classes_of
from tfrobust_scenarios.objects.source import Source
from tfrobust_scenarios.tfds_preparing import newest_version, prepared

_FEW = 8  # classes of a test set of similar or dissimilar ones, as in the paper


@dataclasses.dataclass(frozen=True)
class _Arranged:
    """The classes of a scenario, the images of its splits, and a line for each left out."""

    names: tuple[str, ...]
    parts: dict[str, tuple[Annotated, ...]]
    missing: tuple[str, ...]


@plugin
class ObjectScenario(Scenario):
    """Objects in their surroundings, with boxes.

    Attributes:
        called: the scenario's name, for messages.
    """

    has_boxes = True

    called: ClassVar[str]

    classes: int | str | tuple[str, ...] | None = option(
        "number of most frequent classes, or names separated by commas; none: all",
        default=None,
    )
    max_instances: int = option("maximum number of objects per image", default=2, ge=1)
    max_foreground: float = option(
        "maximum share of the image that boxes cover", default=0.5, gt=0, le=1
    )
    supercategories: Literal["similar", "dissimilar"] | None = option(
        "test on 8 classes of one supercategory (similar), or each of another (dissimilar); "
        "none: on all classes",
        default=None,
    )
    size: int = option("side of the images, in pixels", default=224, ge=1, le=4096)
    seed: int = option("seed of the split and of the classes of supercategories", default=0, ge=0)
    strict: bool = option(
        "refuse missing or broken images instead of leaving them out", default=False
    )

    @property
    def image_shape(self) -> ImageShape:
        """Square, colour."""
        return self.size, self.size, 3

    @property
    def preparation(self) -> Preparation:
        """The middle square, scaled; see `Scenario`."""
        steps = (Square(), Resize(height=self.size, width=self.size))
        return Preparation(channels=3, steps=steps, dct="tensorflow")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The dataset's, the most frequent first unless they were named."""
        return self._arranged.names

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Look through what is there, which is read as it is: what fits, and what is broken.

        What is broken is noted in its folder, and left out from then on. What TensorFlow Datasets
        has not prepared yet, it downloads and prepares before.

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
        self._look_through(strict=strict)
        arranged = self._arranged
        sizes = {split: len(arranged.parts[split]) for split in self.splits}
        return Prepared(self._source.folder, sizes, arranged.missing)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split with `boxes` `(n, 4)`; see `Scenario.load`.

        Raises:
            DataError: the data is not there, or nothing in it fits.
            UsageError: a class or a split it does not have.
        """
        return self._examples(self._images(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; the images before them are not opened."""
        images = self._images(split)
        some = self._source.in_order(images)[start : max(start, stop)]
        return self._examples(some) if some else self._examples(images[:1]).take(0)

    def count(self, split: str) -> int:
        """Return how many images a split has.

        Raises:
            DataError: the data is not there, or nothing in it fits.
        """
        return len(self._images(split))

    def _images(self, split: str) -> tuple[Annotated, ...]:
        check_split(self, split)
        images = self._arranged.parts[split]
        if not images:
            raise DataError(f"{self._source.folder}: no images of split {split!r} fit the options")
        return images

    def _examples(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return the examples of some images, in the source's order."""
        names = {name: label for label, name in enumerate(self.class_names)}
        counts = np.array([len(image.boxes) for image in images])
        padded = np.zeros((len(images), counts.max(), 4), np.float32)
        for row, image in zip(padded, images, strict=True):
            row[: len(image.boxes)] = image.boxes
        labels = tf.constant([names[image.category] for image in images], tf.int64)
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
    def _arranged(self) -> _Arranged:
        source = self._source
        return _arranged(self, source, source.remembered())

    def _look_through(self, *, strict: bool) -> None:
        """Note which of the images that fit are broken, or refuse them."""
        source = self._source
        selection = _selected(source, self.max_instances, self.max_foreground)
        selection = selection.without(source.remembered())
        broken = source.broken(selection.images)
        self._refuse(selection.without(frozenset(broken)), strict=strict)
        source.remember(broken)

    def _refuse(self, selection: Selection, *, strict: bool) -> None:
        if (strict or self.strict) and selection.missing:
            raise DataError(selection.missing[0])

    def _arrange(self, selection: Selection) -> _Arranged:
        """Return what the options make of a selection."""
        self._refuse(selection, strict=False)
        of: dict[str, list[Annotated]] = {}
        for image in selection.images:
            of.setdefault(image.category, []).append(image)
        names = classes_of(self.called, selection, self.classes)
        for name in names if self.classes is not None else ():
            if not self._reach_every_split(of[name]):
                raise DataError(
                    f"{self.called}: class {name!r}: {len(of[name])} images fit, too few for each "
                    f"of {', '.join(self.splits)}; leave it out, or raise max_foreground"
                )
        tested = self._few(names, selection) if self.supercategories else set(names)
        parts = {}
        for split in self.splits:
            chosen: list[Annotated] = []
            for name in names if split != "test" else [name for name in names if name in tested]:
                random = np.random.default_rng(
                    [self.seed, *name.encode()]
                )  # independent of other classes
                chosen += self._parted(of[name], split, random)
            order = np.random.default_rng(self.seed).permutation(len(chosen))
            parts[split] = tuple(chosen[k] for k in order)
        return _Arranged(names, parts, selection.missing)

    def _few(self, classes: Sequence[str], selection: Selection) -> set[str]:
        """Return the classes of a test set of similar or dissimilar ones."""
        random = np.random.default_rng(self.seed)
        of: dict[str, list[str]] = {}
        for name in classes:
            of.setdefault(selection.supercategories[name], []).append(name)
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


@functools.lru_cache(maxsize=16)
def _arranged(scenario: ObjectScenario, source: Source, broken: frozenset[str]) -> _Arranged:
    """Return what a scenario's options make of its source, but for what is broken there."""
    selection = _selected(source, scenario.max_instances, scenario.max_foreground)
    return scenario._arrange(selection.without(broken))


@functools.lru_cache(maxsize=8)
def _selected(source: Source, max_instances: int, max_foreground: float) -> Selection:
    return source.selection(max_instances, max_foreground)
