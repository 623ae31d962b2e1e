"""A split a few images at a time, for figures that need each image once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tfrobust.data.block_reader import BlockReader
from tfrobust.data.reading import ALL, check_images, check_split
from tfrobust.errors import DataError
from tfrobust.scenario import Scenario
from tfrobust.types import Images, Labels

_AT_ONCE = 256  # images that are held in memory; two of the usual batches


@dataclasses.dataclass(frozen=True)
class ImageBlocks:
    """The images of a split with their labels, checked; it can be gone through several times.

    Each pass reads the split again, and holds no more than two blocks of it.

    Attributes:
        scenario: the data.
        split: of it.
        limit: images, the first ones; `None`: all.
        block_size: images at a time.

    Raises:
        UsageError: in a pass: no such split.
        DataError: in a pass: images or labels break the contract, or there are none.

    Example:
        >>> blocks = ImageBlocks(create("scenarios", "digits"), "test", limit=300)
        >>> [images.shape for images, labels in blocks]
        [(256, 8, 8, 1), (44, 8, 8, 1)]
    """

    scenario: Scenario
    split: str
    limit: int | None = None
    block_size: int = _AT_ONCE

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        """Yield images float32 `(n, height, width, channels)` and labels int64 `(n,)`."""
        check_split(self.scenario, self.split)
        most = ALL if self.limit is None else min(self.limit, ALL)
        reader = BlockReader(self.scenario, self.split, most, self.block_size)
        start = 0
        while start < most:
            rows = reader.read(start)
            if not len(rows.images):
                break
            check_images(rows.images, rows.labels, self.scenario.num_classes)
            yield rows.images, rows.labels.astype(np.int64)
            start += len(rows.images)
            if len(rows.images) < self.block_size:
                break
        if not start:
            raise DataError(f"split {self.split!r} holds no images")


@dataclasses.dataclass(frozen=True)
class WatchedBlocks:
    """Blocks that tell how many of their images are done, in every pass.

    Attributes:
        blocks: images with their labels.
        tell: takes that number, when the block after them is asked for.
    """

    blocks: Iterable[tuple[Images, Labels]]
    tell: Callable[[int], object]

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        """Yield the blocks."""
        done = 0
        self.tell(done)
        for images, labels in self.blocks:
            yield images, labels
            done += len(labels)
            self.tell(done)


def accuracy(
    predicted: Callable[[Images], Labels], blocks: Iterable[tuple[Images, Labels]]
) -> float:
    """Return the share of images whose predicted class is their label.

    Args:
        predicted: float32 `(n, height, width, channels)` → classes `(n,)`.
        blocks: images with their labels.

    Example:
        >>> images, labels = np.zeros((2, 8, 8, 1), np.float32), np.array([0, 1])
        >>> accuracy(lambda images: np.zeros(len(images)), [(images, labels)])
        0.5
    """
    right = count = 0
    for images, labels in blocks:
        right += int((predicted(images) == labels).sum())
        count += len(labels)
    return right / count
