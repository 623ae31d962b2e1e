"""Which images show one object in its surroundings, wherever they come from."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfrobust.data.boxes import covered, cropped
from tfrobust.errors import DataError, UsageError, did_you_mean
from tfrobust.types import Boxes

_LEFT = 0.5  # share of an object's box that must lie in the middle square


@dataclasses.dataclass(frozen=True)
class Annotated:
    """An image of one category.

    Attributes:
        name: its path in the source's folder, or its name in the dataset.
        category: the name.
        height: in pixels.
        width: in pixels.
        boxes: float32 `(n, 4)`; of its middle square, once it is selected.
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
        missing: a line each for images that may fit and are not there, are broken, or whose boxes
            are wrong.
    """

    images: tuple[Annotated, ...]
    supercategories: dict[str, str]
    missing: tuple[str, ...]

    def without(self, broken: frozenset[str]) -> Selection:
        """Return the same with those of some names among what is missing."""
        whole = tuple(image for image in self.images if image.name not in broken)
        names = [image.name for image in self.images if image.name in broken]
        lines = (*self.missing, *(f"{name}: broken" for name in names))
        return dataclasses.replace(self, images=whole, missing=lines)


def fitting(
    candidates: Iterable[Candidate], max_instances: int, max_foreground: float
) -> tuple[tuple[Annotated, ...], tuple[str, ...]]:
    """Return the images whose objects are few, of one category, and leave room for surroundings.

    All is judged as the middle square shows it; an image is left out if less than half of an
    object's box lies in it.

    Args:
        candidates: to choose from.
        max_instances: of the one category.
        max_foreground: share of the square that the boxes cover.

    Returns:
        Those that fit, with their boxes as the square has them; and a line each for those that
        are missing or whose boxes are wrong.
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
        boxes = _squared(image)
        if boxes is not None and covered(boxes) <= max_foreground:
            images.append(dataclasses.replace(image, boxes=boxes))
    return tuple(images), tuple(missing)


def classes_of(
    called: str, selection: Selection, wanted: int | str | Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of the classes that are wanted: a count, names, or all.

    Args:
        called: the scenario, for messages.
        selection: has the images.
        wanted: the number of the most frequent, or names; none: all.

    Raises:
        UsageError: a class that has no images, or too few classes.
        DataError: no two classes have images.
    """
    counts = Counter(image.category for image in selection.images)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))
    if len(frequent) < 2:
        fits = f"only images of {frequent[0]!r} fit" if frequent else "no image fits"
        out = (
            f"; {len(selection.missing)} left out, such as {selection.missing[0]}"
            if selection.missing
            else ""
        )
        raise DataError(f"{called}: {fits}; expected images of two classes or more{out}")
    if isinstance(wanted, str) and wanted.isdecimal() and len(wanted) < 10:
        wanted = int(wanted)
    if wanted is None or isinstance(wanted, int):
        count = len(frequent) if wanted is None else wanted
        if not 2 <= count <= len(frequent):
            raise UsageError(
                f"{called}: classes: expected 2 to {len(frequent)}, which have images that fit; "
                f"received: {count}"
            )
        return tuple(frequent[:count])
    listed = wanted.split(",") if isinstance(wanted, str) else wanted
    named = tuple(name.strip() for name in listed if name.strip())
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


def _squared(image: Annotated) -> Boxes | None:
    """Return the boxes as the middle square has them; none: it loses too much of one."""
    window = _middle(image.height, image.width)
    boxes = np.asarray(image.boxes, np.float64)
    top, left = np.maximum(boxes[:, :2], window[:2]).T
    bottom, right = np.minimum(boxes[:, 2:], window[2:]).T
    inside = np.maximum(bottom - top, 0) * np.maximum(right - left, 0)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    # Exactly half a box is enough, despite the rounding of its edges to single precision.
    return cropped(boxes, window) if (inside >= (_LEFT - 1e-6) * whole).all() else None


def _middle(height: int, width: int) -> np.ndarray:
    """Return the middle square, cut as TensorFlow cuts it: the spare pixel is below or right."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.array([top, left, top + side, left + side]) / [height, width, height, width]
