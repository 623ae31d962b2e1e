"""One pass over a split that keeps no image: labels, checks, and what identifies each block."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np

from tfrobust.data.block_reader import BlockReader, ImageRows
from tfrobust.data.reading import ALL, check_images, check_split
from tfrobust.errors import DataError
from tfrobust.scenario import Scenario
from tfrobust.types import Images, Labels

EXAMPLES = 8  # images whose adversarial versions every result keeps
_FIRST = 2 * EXAMPLES  # of these, enough are no first image of their class


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is known of the images of a split without holding them.

    Attributes:
        labels: int64 `(n,)`.
        digests: SHA-256 of each block: its images, its labels and, where they were read, its boxes.
        examples: positions of the example images; see `choose_examples`.
        example_images: float32 `(examples, height, width, channels)`.
    """

    labels: Labels
    digests: tuple[str, ...]
    examples: np.ndarray
    example_images: Images


def survey(
    scenario: Scenario, split: str, limit: int | None, block_size: int, *, boxes: bool = False
) -> Survey:
    """Read the first `limit` images of a split a block at a time, check them and forget them.

    Args:
        scenario: where the images come from.
        split: of it.
        limit: only this many images; `None`: all.
        block_size: images at a time, and of each digest.
        boxes: whether boxes are read and checked too.

    Raises:
        UsageError: no such split, or a limit below 1.
        DataError: images, labels or boxes break the contract, or there are none.
    """
    check_split(scenario, split, limit)
    most = ALL if limit is None else min(limit, ALL)
    reader = BlockReader(scenario, split, most, block_size, boxes=boxes)
    labels = _Labels(min(most, scenario.count(split) or block_size))
    digests: list[str] = []
    examples = _Examples()
    start = 0
    while start < most:
        block = reader.read(start)
        if not len(block.images):
            break
        check_images(block.images, block.labels, scenario.num_classes)
        labels.add(block.labels)
        digests.append(digest_of(block))
        examples.look(start, block.images, block.labels)
        start += len(block.images)
        if len(block.images) < block_size:
            break
    if not start:
        raise DataError(f"split {split!r} holds no images")
    chosen = choose_examples(examples.firsts, start)
    return Survey(labels.all, tuple(digests), chosen, examples.images(chosen))


def choose_examples(firsts: Iterable[int], count: int, most: int = EXAMPLES) -> np.ndarray:
    """Return the positions of up to `most` of `count` images, of as many classes as there are.

    Args:
        firsts: position of the first image of each class.
        count: of all images.
        most: of the positions.

    Example:
        >>> choose_examples([0, 4], count=10, most=3)
        array([0, 4, 1])
    """
    first = np.array(sorted(firsts), np.int64)
    others = np.setdiff1d(np.arange(min(count, most + len(first))), first)
    return np.concatenate([first, others])[:most]


class _Labels:
    """All labels in one array, which grows where it turns out too short.

    Kept a block at a time, they would lie between the images of the blocks, and hold the memory
    around them when these are gone.
    """

    def __init__(self, expected: int) -> None:
        self._space, self._count = np.empty(max(1, expected), np.int64), 0

    def add(self, labels: Labels) -> None:
        """Add the labels of a block."""
        count = self._count + len(labels)
        if count > len(self._space):
            self._space = np.resize(self._space, max(count, 2 * len(self._space)))
        self._space[self._count : count] = labels
        self._count = count

    @property
    def all(self) -> Labels:
        """The labels, int64 `(n,)`."""
        return self._space[: self._count]


class _Examples:
    """Keeps every image that `choose_examples` may choose.

    Attributes:
        firsts: position of the first image of each class.
    """

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self._kept: dict[int, Images] = {}
        self._classes: set[int] = set()

    def look(self, start: int, images: Images, labels: Labels) -> None:
        """Keep the first images of all, and the first one of each of the first classes."""
        positions = set(range(max(0, _FIRST - start))) if start < _FIRST else set()
        for label, row in zip(*np.unique(labels, return_index=True), strict=True):
            if label not in self._classes:
                self._classes.add(int(label))
                self.firsts.append(start + int(row))
                positions.add(int(row))
        for row in sorted(positions):
            if row < len(images) and (len(self._kept) < 2 * _FIRST or start + row < _FIRST):
                self._kept[start + row] = images[row].copy()

    def images(self, positions: np.ndarray) -> Images:
        return np.stack([self._kept[int(position)] for position in positions])


def digest_of(block: ImageRows) -> str:
    """Return the SHA-256 of a block: its images, its labels and its boxes, where they are read."""
    content = hashlib.sha256()
    arrays = [block.images, block.labels.astype(np.int64)]
    for array in arrays if block.boxes is None else [*arrays, block.boxes]:
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
