"""COCO's official layout: annotations beside image folders, read by pycocotools."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pydantic
import tensorflow as tf

from tfrobust.data.boxes import check_boxes, of_pixels
from tfrobust.errors import DataError, one_line
from tfrobust.files.reading import UnreadableError, read_bytes
from tfrobust.types import Boxes
from tfrobust_scenarios.objects.selection import Annotated, Candidate, Selection, fitting
from tfrobust_scenarios.objects.source import Source, size_of

_LAYOUT = "expected ROOT/annotations/instances_*.json, and an image folder beside for each"
_LARGEST = 4 * 10**9  # bytes; COCO's own take 500 MB
_TOLERANCE = 0.01  # pixels that COCO's rounded boxes may reach out of an image


class _Picture(pydantic.BaseModel):
    id: int
    file_name: str
    width: pydantic.PositiveInt
    height: pydantic.PositiveInt


class _Object(pydantic.BaseModel):
    id: int
    image_id: int
    category_id: int
    bbox: list[float] = pydantic.Field(min_length=4, max_length=4)
    iscrowd: bool = False


class _Category(pydantic.BaseModel):
    id: int
    name: str
    supercategory: str | None = None


class _Content(pydantic.BaseModel):
    """What is read of a file of annotations; all else in it is passed over."""

    images: list[_Picture] = []
    annotations: list[_Object] = []
    categories: list[_Category] = []


_ENTRIES = {"images": "image", "annotations": "annotation", "categories": "category"}


@dataclasses.dataclass(frozen=True)
class OfficialLayout(Source):
    """A folder in COCO's layout.

    Attributes:
        folder: the root: holds an image folder for each file of annotations: `val2017` for
            `instances_val2017.json`.
        annotations: the files.
        changed: when each of them was, in nanoseconds.
    """

    folder: Path
    annotations: tuple[Path, ...]
    changed: tuple[int, ...]

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
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; {_LAYOUT}")
        annotations = tuple(sorted((root / "annotations").glob("instances_*.json")))
        if not annotations:
            raise DataError(f"{root}: no annotations in it; {_LAYOUT}")
        return cls(root, annotations, tuple(file.stat().st_mtime_ns for file in annotations))

    def selection(self, max_instances: int, max_foreground: float) -> Selection:
        """Return the images that fit, in the order of the files and of the annotations in them.

        Raises:
            DataError: annotations that cannot be read, or lack something.
        """
        read = {file: _read(file) for file in self.annotations}
        candidates = (
            image for file, coco in read.items() for image in self._candidates(file, coco)
        )
        images, missing = fitting(candidates, max_instances, max_foreground)
        above = {
            category["name"]: category["supercategory"] or category["name"]
            for coco in read.values()
            for category in coco.loadCats(coco.getCatIds())
        }
        return Selection(images, above, missing)

    def stamp(self, name: str) -> int:
        """Return when a file was changed, in nanoseconds; -1 if it is not there."""
        file = self.folder / name
        return file.stat().st_mtime_ns if file.is_file() else -1

    def in_order(self, images: Sequence[Annotated]) -> Sequence[Annotated]:
        """Return the images as they are; see `Source`."""
        return images

    def encoded(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return the JPEGs in the order of `images`; see `Source`."""
        rows = np.arange(len(images), dtype=np.int64)
        files = [str(self.folder / image.name) for image in images]
        return tf.data.Dataset.from_tensor_slices((rows, files)).map(
            lambda row, file: (row, tf.io.read_file(file)), num_parallel_calls=tf.data.AUTOTUNE
        )

    def _candidates(self, file: Path, coco: Any) -> Iterator[Candidate]:
        folder = self.folder / file.stem.removeprefix("instances_")
        for image in coco.loadImgs(sorted(coco.getImgIds())):
            objects = coco.imgToAnns[image["id"]]
            categories = [coco.cats[annotation["category_id"]]["name"] for annotation in objects]
            yield Candidate(
                categories=categories,
                unclear=any(annotation["iscrowd"] for annotation in objects),
                annotated=functools.partial(self._annotated, folder, image, objects, categories),
            )

    def _annotated(
        self,
        folder: Path,
        image: dict[str, Any],
        objects: list[dict[str, Any]],
        categories: Sequence[str],
    ) -> Annotated:
        inside = PurePosixPath(image["file_name"])
        if inside.is_absolute() or ".." in inside.parts:
            raise DataError(f"{inside}: refused: would leave {folder}")
        file, size = folder / inside, (image["height"], image["width"])
        if not file.is_file():
            raise DataError(f"{file}: is annotated and not there")
        name = file.relative_to(self.folder).as_posix()
        real_size = size_of(file, name)
        if real_size != size:
            raise DataError(
                f"{name}: is annotated as {size[0]} pixels high and {size[1]} wide; "
                f"received: {real_size[0]} and {real_size[1]}"
            )
        boxes = np.stack([_box(annotation["bbox"], *size) for annotation in objects])
        check_boxes(boxes, name)
        return Annotated(name, categories[0], *size, boxes)


def _read(file: Path) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = _checked(file).model_dump()
    with contextlib.redirect_stdout(io.StringIO()):  # it says what it does
        coco.createIndex()
    return coco


def _checked(file: Path) -> _Content:
    try:
        written = read_bytes(file, _LARGEST)
        content = _Content.model_validate_json(written)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except UnreadableError as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    except pydantic.ValidationError as error:
        raise DataError(f"{file}: {_wrong(error.errors()[0], written)}") from error
    known = {category.id for category in content.categories}
    for annotation in content.annotations:
        if annotation.category_id not in known:
            what = f"no category {annotation.category_id}"
            raise DataError(f"{file}: annotation {annotation.id}: {what}")
    return content


def _wrong(error: Any, written: bytes) -> str:
    """Return what is wrong with the content of a file, and with which entry."""
    if len(error["loc"]) < 3:
        return f"cannot be read ({one_line(error['msg'])})"
    kind, number, field, *_ = error["loc"]
    entry = json.loads(written)[kind][number]
    called = f"{_ENTRIES[kind]} {entry['id']}" if "id" in entry else f"{kind}[{number}]"
    if field not in entry:
        return f"{called}: has no {field}"
    received = one_line(repr(entry[field]), 80)
    return f"{called}: {field}: {one_line(error['msg'])}; received: {received}"


def _box(given: Sequence[float], height: int, width: int) -> Boxes:
    """Return a box given by its left and upper edge, width and height in pixels."""
    left, top, across, down = given
    right, bottom = left + across, top + down
    if left >= 0 and top >= 0 and right <= width + _TOLERANCE and bottom <= height + _TOLERANCE:
        right, bottom = min(right, width), min(bottom, height)
    return of_pixels(left, top, right, bottom, (height, width))
