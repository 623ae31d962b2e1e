"""COCO's official layout: annotations beside image folders, read by pycocotools."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.boxes import check_boxes, of_pixels
from tfrobust.errors import DataError, one_line
from tfrobust.types import Boxes
from tfrobust_scenarios.object_selection import (
    Annotated,
    Candidate,
    Selection,
    Source,
    decodes,
    fitting,
)

_LAYOUT = "expected ROOT/annotations/instances_*.json, and an image folder beside for each"
_TOLERANCE = 0.01  # pixels that COCO's rounded boxes may reach out of an image


@dataclasses.dataclass(frozen=True)
class OfficialLayout(Source):
    """A folder in COCO's layout.

    Attributes:
        folder: the root: holds an image folder for each file of annotations: `val2017` for
            `instances_val2017.json`.
        annotations: the files.
    """

    folder: Path
    annotations: tuple[Path, ...]

    @classmethod
    def of(cls, root: Path | None) -> OfficialLayout:
        """Return the layout that a folder holds.

        Raises:
            DataError: no folder, or no annotations in it.
        """
        if root is None:
            raise DataError(
                "coco: which folder? pass -p coco.path=FOLDER, or -p coco.source=tfds for what "
                f"TensorFlow Datasets prepared; {_LAYOUT}"
            )
        annotations = tuple(sorted((root / "annotations").glob("instances_*.json")))
        if not annotations:
            raise DataError(f"{root}: no annotations in it; {_LAYOUT}")
        return cls(root, annotations)

    def selection(self, max_instances: int, max_foreground: float) -> Selection:
        """Return the images that fit, in the order of the files and of the annotations in them.

        Raises:
            DataError: annotations that cannot be read.
        """
        read = {file: _read(file) for file in self.annotations}
        candidates = (each for file, coco in read.items() for each in self._candidates(file, coco))
        images, missing = fitting(candidates, max_instances, max_foreground)
        above = {
            each["name"]: each["supercategory"]
            for coco in read.values()
            for each in coco.loadCats(coco.getCatIds())
        }
        return Selection(images, above, missing)

    def pictures(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return the pictures in the order of `images`; see `Source`."""
        rows = np.arange(len(images), dtype=np.int64)
        files = tf.data.Dataset.from_tensor_slices((rows, [each.name for each in images]))
        return files.map(
            lambda row, file: (row, tf.io.decode_jpeg(tf.io.read_file(file), channels=3)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def broken(self, images: Sequence[Annotated]) -> list[str]:
        """Return the files that cannot be decoded."""
        return [each.name for each in images if not decodes(each.name)]

    def _candidates(self, file: Path, coco: Any) -> Iterator[Candidate]:
        folder = self.folder / file.stem.removeprefix("instances_")
        for image in coco.loadImgs(sorted(coco.getImgIds())):
            objects = coco.imgToAnns[image["id"]]
            categories = [coco.cats[each["category_id"]]["name"] for each in objects]
            yield Candidate(
                categories=categories,
                unclear=any(each["iscrowd"] for each in objects),
                annotated=functools.partial(_annotated, folder, image, objects, categories),
            )


def _read(file: Path) -> Any:
    from pycocotools.coco import COCO

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says what it does
            return COCO(str(file))
    except Exception as error:  # JSON, missing keys, anything
        raise DataError(f"{file}: cannot be read ({one_line(error)})") from error


def _annotated(
    folder: Path, image: dict[str, Any], objects: list[dict[str, Any]], categories: Sequence[str]
) -> Annotated:
    file, height, width = folder / image["file_name"], image["height"], image["width"]
    if file.parent != folder:
        raise DataError(f"{image['file_name']}: refused: would leave {folder}")
    if not file.is_file():
        raise DataError(f"{file}: is annotated and not there")
    boxes = np.stack([_box(each["bbox"], height, width) for each in objects])
    check_boxes(boxes, image["file_name"])
    return Annotated(str(file), categories[0], height, width, boxes)


def _box(given: list[float], height: int, width: int) -> Boxes:
    """Return a box given by its left and upper edge, width and height in pixels."""
    left, top, across, down = given
    right, bottom = left + across, top + down
    if left >= 0 and top >= 0 and right <= width + _TOLERANCE and bottom <= height + _TOLERANCE:
        right, bottom = min(right, width), min(bottom, height)
    return of_pixels(left, top, right, bottom, (height, width))
