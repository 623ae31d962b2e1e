"""Reads the images of a split a block at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.data.boxes import padded
from tfrobust.data.reading import readable
from tfrobust.environment.allocator import release_freed_memory
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Images, Labels


@dataclasses.dataclass(frozen=True)
class ImageRows:
    """Neighbouring images of a split.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        labels: `(n,)`, integers.
        boxes: float32 `(n, most, 4)`, filled up with zeros; `None` where they were not asked for.
    """

    images: Images
    labels: Labels
    boxes: Boxes | None = None


class BlockReader:
    """Reads blocks of a split; what follows the last one is read ahead.

    Args:
        scenario: where the images come from.
        split: of it.
        stop: one more than the last position that is read; beyond the end: all there are.
        block_size: images at a time.
        boxes: whether to read boxes too.
        reads_on: whether the next block is most often the one behind the last. Without it, every
            block is opened by itself, and nothing is read in vain.
    """

    def __init__(
        self,
        scenario: Scenario,
        split: str,
        stop: int,
        block_size: int,
        *,
        boxes: bool = False,
        reads_on: bool = True,
    ) -> None:
        self._scenario, self._split, self._stop = scenario, split, stop
        self._size, self._boxes, self._reads_on = block_size, boxes, reads_on
        self._position = -1
        self._blocks: Iterator[Any] = iter(())

    def read(self, start: int) -> ImageRows:
        """Return the block that begins at a position; fewer images at the end, or none.

        Raises:
            DataError: a damaged image; an image without a box, or with one that is empty or
                reaches out of it.
        """
        release_freed_memory()  # of the block before
        if start != self._position:
            self._open(start)
        height, width, channels = self._scenario.image_shape
        nothing = np.zeros((0, height, width, channels), np.float32), np.zeros(0, np.int64)
        images, labels, *boxes = next(self._blocks, nothing)
        self._position = start + len(images) if self._reads_on else -1
        if not (boxes and len(images)):
            return ImageRows(images, labels)
        return ImageRows(images, labels, padded(boxes[0], first=start))

    def _open(self, start: int) -> None:
        stop = self._stop if self._reads_on else min(self._stop, start + self._size)
        dataset = self._scenario.load_rows(self._split, start, stop)
        names = ["image", "label", *(["boxes"] if self._boxes else [])]
        dataset = dataset.map(lambda example: tuple(example[name] for name in names))
        if self._boxes:  # their number varies
            shape = self._scenario.image_shape
            dataset = dataset.map(lambda image, *rest: (tf.ensure_shape(image, shape), *rest))
            dataset = dataset.ragged_batch(self._size)
        else:
            dataset = dataset.batch(self._size)
        if self._reads_on:
            dataset = dataset.prefetch(1)
        self._blocks = readable(dataset.as_numpy_iterator())
