"""Which images show one object in its surroundings, wherever they come from."""

from __future__ import annotations

import abc
import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import tensorflow as tf
from PIL import Image

from tfrobust.boxes import covered
from tfrobust.errors import DataError
from tfrobust.types import Boxes


@dataclasses.dataclass(frozen=True)
class Annotated:
    """An image of one category.

    Attributes:
        name: where it lies, or what its dataset calls it.
        category: the name.
        height: in pixels.
        width: in pixels.
        boxes: float32 `(n, 4)`.
        split: its dataset's own, where that is kept.
        position: among the images of that split.
    """

    name: str
    category: str
    height: int
    width: int
    boxes: Boxes
    split: str = ""
    position: int = 0

    def with_boxes(self, boxes: Boxes) -> Annotated:
        """Return the same with other boxes."""
        return dataclasses.replace(self, boxes=boxes)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An image that may fit.

    Attributes:
        categories: one an object.
        unclear: an object is a crowd, or hard to recognise.
        annotated: returns the image with its boxes; asked only if the objects fit. Raises a
            `DataError` if the image is missing, or a box is wrong.
    """

    categories: Sequence[str]
    unclear: bool
    annotated: Callable[[], Annotated]


@dataclasses.dataclass(frozen=True)
class Selection:
    """The images that fit.

    Attributes:
        images: in the order of their source.
        supercategories: category → its supercategory.
        missing: a line each for images that fit and are not there, or whose boxes are wrong.
    """

    images: tuple[Annotated, ...]
    supercategories: dict[str, str]
    missing: tuple[str, ...]


class Source(abc.ABC):
    """Where annotated images come from; hashable, and another one when its data change.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @abc.abstractmethod
    def selection(self, max_instances: int, max_foreground: float) -> Selection:
        """Return the images that fit; see `fitting`."""

    @abc.abstractmethod
    def pictures(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return `(row, picture)` of some images, each once, always in the same order.

        Returns:
            Rows int64 `()`, which of `images`, and pictures uint8 `(height, width, 3)`.
        """

    @abc.abstractmethod
    def broken(self, images: Sequence[Annotated]) -> list[str]:
        """Return the names of those that cannot be decoded."""


def fitting(
    candidates: Iterable[Candidate], max_instances: int, max_foreground: float
) -> tuple[tuple[Annotated, ...], tuple[str, ...]]:
    """Return the images whose objects are few, of one category, and leave room for surroundings.

    Args:
        candidates: to choose from.
        max_instances: of the one category.
        max_foreground: share of the image that the boxes cover.

    Returns:
        Those that fit; and a line each for those that are missing or whose boxes are wrong.
    """
    images: list[Annotated] = []
    missing: list[str] = []
    for candidate in candidates:
        alone = len(set(candidate.categories)) == 1
        if not alone or candidate.unclear or len(candidate.categories) > max_instances:
            continue
        try:
            image = candidate.annotated()
        except DataError as error:
            missing.append(str(error))
            continue
        if covered(image.boxes) <= max_foreground:
            images.append(image)
    return tuple(images), tuple(missing)


def decodes(file: str | io.BytesIO) -> bool:
    """Tell whether an image can be decoded."""
    try:
        with Image.open(file) as image:
            image.load()
    except Exception:  # Pillow raises half a dozen kinds
        return False
    return True
