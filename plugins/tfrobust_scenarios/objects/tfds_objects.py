"""Images with objects that TensorFlow Datasets has prepared: COCO's, Pascal VOC's."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.data.boxes import check_boxes
from tfrobust.data.reading import readable
from tfrobust.errors import DataError, one_line
from tfrobust.types import Boxes
from tfrobust_scenarios.objects.selection import Annotated, Candidate, Selection, fitting
from tfrobust_scenarios.objects.source import Source, size_of
from tfrobust_scenarios.tfds_preparing import data_folder, newest_version
from tfrobust_scenarios.tfds_rows import stored_records


@dataclasses.dataclass(frozen=True)
class StoredObjects(Source):
    """A prepared dataset whose images have `objects` with `bbox` and `label`.

    What is chosen is read in the stored order, which TensorFlow Datasets shuffled when it wrote the
    records; the others between the first and the last are passed over undecoded.

    Attributes:
        folder: of one version.
        changed: when it was prepared, in nanoseconds.
        splits: those of it that are annotated.
        unclear: the feature of objects for which an image is not taken.
        first_pixel: what the first column and row are called: VOC counts from 1, and calls a
            box's last ones inclusively.
        supercategories: class → its supercategory.
    """

    folder: Path
    changed: int
    splits: tuple[str, ...]
    unclear: str | None
    first_pixel: int
    supercategories: Mapping[str, str] = dataclasses.field(compare=False, repr=False)

    @classmethod
    def of(
        cls, name: str, *, command: str, first_pixel: int = 0, **described: Any
    ) -> StoredObjects:
        """Return the dataset that is prepared in `TFDS_DATA_DIR`.

        Args:
            name: with its configuration: `coco/2017`.
            command: prepares it, for the message.
            first_pixel: see the class.
            **described: the other attributes.

        Raises:
            DataError: it is not prepared.
        """
        folder = newest_version(name)
        if folder is None:
            raise DataError(
                f"{name} is not prepared in {data_folder()}; run {command}, or set TFDS_DATA_DIR "
                "to where it is prepared"
            )
        changed = (folder / "dataset_info.json").stat().st_mtime_ns
        return cls(folder=folder, changed=changed, first_pixel=first_pixel, **described)

    def selection(self, max_instances: int, max_foreground: float) -> Selection:
        """Return the images that fit, split by split in the order of their names.

        Raises:
            DataError: records that cannot be read, or hold something else.
        """
        names = self._class_names
        candidates = (image for split in self.splits for image in self._candidates(split, names))
        images, missing = fitting(candidates, max_instances, max_foreground)
        order = {split: k for k, split in enumerate(self.splits)}
        ordered = sorted(images, key=lambda image: (order[image.split], image.name))
        return Selection(tuple(ordered), dict(self.supercategories), missing)

    def stamp(self, name: str) -> int:
        """Return when the dataset was prepared: none of its images changes alone."""
        return self.changed

    def in_order(self, images: Sequence[Annotated]) -> Sequence[Annotated]:
        """Return the images in their stored order; see `Source`."""
        order = {split: k for k, split in enumerate(self.splits)}
        return sorted(images, key=lambda image: (order[image.split], image.position))

    def encoded(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return the JPEGs in their stored order; see `Source`."""
        of: dict[str, list[tuple[int, int]]] = {split: [] for split in self.splits}
        for row, image in enumerate(images):
            of[image.split].append((row, image.position))
        parts = [self._chosen(split, chosen) for split, chosen in of.items() if chosen]
        whole = functools.reduce(lambda one, other: one.concatenate(other), parts)
        return whole.apply(tf.data.experimental.assert_cardinality(len(images)))

    def _chosen(self, split: str, chosen: Sequence[tuple[int, int]]) -> tf.data.Dataset:
        """Return `(row, JPEG)` of some images of a split, given as `(row, position)`."""
        rows, positions = np.array(chosen, np.int64).T
        first, last = int(positions.min()), int(positions.max())
        row_at = np.full(last + 1 - first, -1, np.int64)
        row_at[positions - first] = rows
        records = self._records(split, (first, last + 1))
        numbered = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(row_at), records)
        wanted = numbered.filter(lambda row, _: row >= 0)
        return wanted.map(lambda row, record: (row, record["image"]))

    def _candidates(self, split: str, names: Sequence[str]) -> Iterator[Candidate]:
        for position, record in enumerate(readable(self._records(split).as_numpy_iterator())):
            objects = record["objects"]
            categories = [names[label] for label in objects["label"]]
            yield Candidate(
                categories=categories,
                unclear=self.unclear is not None and bool(objects[self.unclear].any()),
                annotated=functools.partial(self._annotated, split, position, record, categories),
            )

    def _annotated(
        self, split: str, position: int, record: dict[str, Any], categories: Sequence[str]
    ) -> Annotated:
        name = record["image/filename"].decode()
        height, width = size_of(io.BytesIO(record["image"]), name)
        boxes = self._between_pixels(record["objects"]["bbox"], height, width)
        check_boxes(boxes, name)
        return Annotated(name, categories[0], height, width, boxes, split, position)

    def _between_pixels(self, boxes: Boxes, height: int, width: int) -> Boxes:
        """Return boxes with their edges between pixels."""
        pixel = np.array([1 / height, 1 / width, 0, 0], np.float32)
        moved = np.maximum(boxes - self.first_pixel * pixel, 0)
        return np.where(boxes >= 0, moved, boxes).astype(np.float32)

    def _records(self, split: str, rows: tuple[int, int] | None = None) -> tf.data.Dataset:
        """Return the undecoded records of a split, always in the same order."""
        try:
            return stored_records(self._builder, split, rows, encoded=True)
        except Exception as error:  # a split it has not, files that are gone
            raise DataError(f"{self.folder}: cannot be read ({one_line(error)})") from error

    @property
    def _class_names(self) -> list[str]:
        """Return the names of the classes, once it is sure that the records hold what is needed."""
        features, needed = self._builder.info.features, {"image", "image/filename", "objects"}
        needed_of_objects = {"label", "bbox", self.unclear or "label"}
        lacking = needed - set(features)
        lacking |= set() if lacking else needed_of_objects - set(features["objects"].feature)
        if lacking:
            raise DataError(f"{self.folder}: its records have no {', '.join(sorted(lacking))}")
        names: list[str] = features["objects"]["label"].names
        unknown = set(names) - set(self.supercategories)
        if unknown:
            raise DataError(
                f"{self.folder}: expected its dataset's classes; received: {names[:3]}…"
            )
        return names

    @property
    def _builder(self) -> Any:
        return _opened(self.folder, self.changed)


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, changed: int) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # JSON, protocol buffers, missing files
        raise DataError(f"{folder}: cannot be read ({one_line(error)})") from error
