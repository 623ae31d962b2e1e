"""Blocks: rows [start, stop) of a split, by position, so that they depend on no worker."""

from __future__ import annotations

import dataclasses
import functools
import socket
from collections.abc import Callable

import numpy as np

from tfrobust.data.block_reader import ImageRows
from tfrobust.data.survey import Survey, digest_of
from tfrobust.errors import DataError
from tfrobust.norms.levels import rounded
from tfrobust.types import Boxes, Images, Labels

BLOCK_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Block:
    """Neighbouring images of a split.

    Attributes:
        start: position of the first one.
        stop: one more than that of the last one.
        digest: of its images, labels and boxes; see `tfrobust.data.survey`. Empty: not known.
        examples: positions of those whose adversarial versions every result keeps.
    """

    start: int
    stop: int
    digest: str = ""
    examples: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return how many images it has."""
        return self.stop - self.start


def cut(images: int, block_size: int) -> list[Block]:
    """Return the blocks of so many images.

    Example:
        >>> [(block.start, block.stop) for block in cut(2500, 1024)]
        [(0, 1024), (1024, 2048), (2048, 2500)]
    """
    return [Block(start, min(start + block_size, images)) for start in range(0, images, block_size)]


def surveyed(survey: Survey, block_size: int) -> list[Block]:
    """Return the blocks of a split with what a survey tells of each."""
    return [
        dataclasses.replace(
            block,
            digest=digest,
            examples=tuple(int(p) for p in survey.examples if block.start <= p < block.stop),
        )
        for block, digest in zip(cut(len(survey.labels), block_size), survey.digests, strict=True)
    ]


def as_surveyed(block: Block, rows: ImageRows) -> ImageRows:
    """Return what was read of a block, if it is what the survey of the split saw.

    Another machine may hold another copy of the data, and data may change while they are evaluated.
    Rows of other images would then stand beside the labels of the survey.

    Args:
        block: of the survey.
        rows: its images, as this process reads them.

    Raises:
        DataError: they are others, or fewer.
    """
    if block.digest and digest_of(rows) != block.digest:
        received = "others" if len(rows.images) == len(block) else f"{len(rows.images)} images"
        raise DataError(
            f"the images of rows {block.start}–{block.stop} differ from those surveyed: expected "
            f"{len(block)} images with the same content; received: {received}, on "
            f"{socket.gethostname()}; it may hold another copy of the data, or they have changed "
            "since the command began: give every machine the same data, and repeat the command"
        )
    return rows


class BlockImages:
    """The images of a block, read and compared with the survey when they are first asked for.

    Args:
        block: which.
        read: reads its images.
        levels: to round their pixels to; `None`: they stay as they are. See `Traits.pixel_levels`.
    """

    def __init__(
        self, block: Block, read: Callable[[], ImageRows], levels: int | None = None
    ) -> None:
        self.block, self._read, self._levels = block, read, levels

    @functools.cached_property
    def _rows(self) -> ImageRows:
        rows = as_surveyed(self.block, self._read())
        if self._levels is None:
            return rows
        return dataclasses.replace(rows, images=rounded(rows.images, self._levels))

    @property
    def images(self) -> Images:
        """The images, float32 `(n, height, width, channels)`."""
        return self._rows.images

    @functools.cached_property
    def labels(self) -> Labels:
        """Their labels, int64 `(n,)`."""
        return self._rows.labels.astype(np.int64)

    @property
    def boxes(self) -> Boxes | None:
        """Their boxes, float32 `(n, most, 4)`, if an attack needs them."""
        return self._rows.boxes

    @property
    def examples(self) -> np.ndarray:
        """The rows of the block that are examples."""
        return np.array(self.block.examples, np.int64) - self.block.start
