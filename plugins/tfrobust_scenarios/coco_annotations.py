"""COCO's annotations, read by pycocotools: which images show one object in its surroundings."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.boxes import check_boxes, covered, of_pixels
from tfrobust.errors import DataError, one_line
from tfrobust.types import Boxes

_TOLERANCE = 0.01  # pixels that COCO's rounded boxes may reach out of an image


@dataclasses.dataclass(frozen=True)
class Annotated:
    """An image of one category.

    Attributes:
        file: where it lies.
        category: its name.
        height: in pixels.
        width: in pixels.
        boxes: float32 `(n, 4)`.
    """

    file: Path
    category: str
    height: int
    width: int
    boxes: Boxes

    def with_boxes(self, boxes: Boxes) -> Annotated:
        """Return the same with other boxes."""
        return dataclasses.replace(self, boxes=boxes)


@dataclasses.dataclass(frozen=True)
class Selection:
    """The images that fit.

    Attributes:
        images: in the order of the files and of the annotations in them.
        supercategories: category → its supercategory.
        missing: a line each for images that fit and are not there, or whose boxes are wrong.
    """

    images: tuple[Annotated, ...]
    supercategories: dict[str, str]
    missing: tuple[str, ...]


def selected(
    root: Path, annotations: Iterable[Path], max_instances: int, max_foreground: float
) -> Selection:
    """Return the images whose objects are few, of one category, and leave room for surroundings.

    Args:
        root: holds an image folder for each file of annotations: `val2017` for
            `instances_val2017.json`.
        annotations: the files.
        max_instances: of the one category.
        max_foreground: share of the image that the boxes cover.

    Raises:
        DataError: annotations that cannot be read.
    """
    images: list[Annotated] = []
    missing: list[str] = []
    supercategories: dict[str, str] = {}
    for file in annotations:
        coco = _read(file)
        categories = coco.loadCats(coco.getCatIds())
        supercategories |= {each["name"]: each["supercategory"] for each in categories}
        folder = root / file.stem.removeprefix("instances_")
        for image in coco.loadImgs(sorted(coco.getImgIds())):
            objects = coco.imgToAnns[image["id"]]
            if not _fits(objects, max_instances):
                continue
            try:
                found = _annotated(folder, image, objects, coco.cats)
            except DataError as error:
                missing.append(str(error))
                continue
            if covered(found.boxes) <= max_foreground:
                images.append(found)
    return Selection(tuple(images), supercategories, tuple(missing))


def _read(file: Path) -> Any:
    from pycocotools.coco import COCO

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says what it does
            return COCO(str(file))
    except Exception as error:  # JSON, missing keys, anything
        raise DataError(f"{file}: cannot be read ({one_line(error)})") from error


def _fits(objects: list[dict[str, Any]], most: int) -> bool:
    alone = len({each["category_id"] for each in objects}) == 1
    return alone and len(objects) <= most and not any(each["iscrowd"] for each in objects)


def _annotated(
    folder: Path, image: dict[str, Any], objects: list[dict[str, Any]], categories: dict[int, Any]
) -> Annotated:
    file, height, width = folder / image["file_name"], image["height"], image["width"]
    if file.parent != folder:
        raise DataError(f"{image['file_name']}: refused: would leave {folder}")
    if not file.is_file():
        raise DataError(f"{file}: is annotated and not there")
    boxes = np.stack([_box(each["bbox"], height, width) for each in objects])
    check_boxes(boxes, image["file_name"])
    category = categories[objects[0]["category_id"]]["name"]
    return Annotated(file, category, height, width, boxes)


def _box(given: list[float], height: int, width: int) -> Boxes:
    """Return a box given by its left and upper edge, width and height in pixels."""
    left, top, across, down = given
    right, bottom = left + across, top + down
    if left >= 0 and top >= 0 and right <= width + _TOLERANCE and bottom <= height + _TOLERANCE:
        right, bottom = min(right, width), min(bottom, height)
    return of_pixels(left, top, right, bottom, (height, width))
