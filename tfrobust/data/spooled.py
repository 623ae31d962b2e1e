"""Images on disk, for what learns from more of them than fit into memory.

`spooled` writes the images of a split into a temporary file once, a batch at a time, and returns
the file as a memory-mapped array. It is a NumPy array as before: `images[rows]` in any order,
slices and several passes work, and an attack or detector of a third party needs no change. A
`tf.data.Dataset` would be read in its own order only, where `uap` and `gap` draw another order in
each pass and must keep their results. Memory holds the labels and does not grow with the
images: the system keeps as much of the file in memory as is free, and takes that back when another
process needs it.

The file has no name once it is open, so a process that is killed leaves nothing behind. It lies
where temporary files lie, which `TMPDIR` decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfrobust.data.reading import ALL, check_images, check_split, labelled, readable
from tfrobust.errors import DataError, StoreError
from tfrobust.files.atomic import disk_errors
from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, Labels

_BLOCK = 1 << 29  # bytes of images that are held in memory at once
_READ = 1 << 26  # bytes of images that are read at once, at most
_FLOAT = 4  # bytes


def spooled(
    scenario: Scenario, split: str, limit: int | None = None, *, folder: Path | None = None
) -> tuple[Images, Labels]:
    """Do what `arrays` does, with the images in a temporary file.

    Args:
        scenario: the data.
        split: of the scenario.
        limit: images, the first ones; none: all.
        folder: of the file; none: that of temporary files.

    Returns:
        Images float32 `(n, height, width, channels)`, memory-mapped and only to be read; labels
        int64 `(n,)`. The file is removed when the array is.

    Raises:
        UsageError: no such split, or a limit below 1.
        DataError: images or labels break the contract.
        StoreError: the disk has not enough room, which is told before anything is written where
            the number of images is known.

    Example:
        >>> images, labels = spooled(create("scenarios", "digits"), "train", 100)
        >>> images.shape
        (100, 8, 8, 1)
    """
    check_split(scenario, split, limit)
    dataset = labelled(scenario.load(split))
    dataset = dataset.take(min(limit, ALL)) if limit else dataset
    if (count := int(dataset.cardinality())) > 0:
        check_room(bytes_of(scenario.image_shape, count), folder)
    at_once = max(1, min(1024, _READ // bytes_of(scenario.image_shape)))
    labels: list[Labels] = []

    def checked() -> Iterator[Images]:
        for images, classes in readable(dataset.batch(at_once).as_numpy_iterator()):
            check_images(images, classes, scenario.num_classes)
            labels.append(classes.astype(np.int64))
            yield images

    images = spool(checked(), scenario.image_shape, folder=folder)
    if not labels:
        raise DataError(f"split {split!r} holds no images")
    return images, np.concatenate(labels)


def spool(
    blocks: Iterable[np.ndarray], shape: tuple[int, ...], *, folder: Path | None = None
) -> np.ndarray:
    """Write images into a temporary file, and return it as a memory-mapped array.

    Args:
        blocks: float32 `(n, height, width, channels)` each.
        shape: of an image, `(height, width, channels)`; rows of any other shape do as well.
        folder: of the file; none: that of temporary files.

    Returns:
        float32 `(n, height, width, channels)` of all blocks, only to be read.

    Raises:
        StoreError: the disk refuses.

    Example:
        >>> spool(iter([np.zeros((2, 8, 8, 1), np.float32)]), (8, 8, 1)).shape
        (2, 8, 8, 1)
    """
    place, count = folder or tempfile.gettempdir(), 0
    where = f"temporary files in {place}"  # named for errors of writing, not of reading a block
    with contextlib.ExitStack() as held:
        with disk_errors(where):
            file = held.enter_context(tempfile.TemporaryFile(dir=place))
        # Written, not mapped: a full disk is an error of `write`, and kills who writes to a map.
        for block in blocks:
            with disk_errors(where):
                _append(file, block)
            count += len(block)
        if not count:
            return np.empty((0, *shape), np.float32)
        with disk_errors(where):
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(count, *shape))


def _append(file: IO[bytes], block: Images) -> None:
    file.write(np.ascontiguousarray(block, np.float32).reshape(-1).view(np.uint8).data)


def bytes_of(image_shape: ImageShape, count: int = 1) -> int:
    """Return how many bytes float32 images take.

    Example:
        >>> bytes_of((64, 64, 3), 100_000)
        4915200000
    """
    return math.prod(image_shape) * _FLOAT * count


def check_room(
    size: int,
    folder: Path | None = None,
    *,
    remedy: str = "set TMPDIR to a folder on a larger disk, or take fewer images",
) -> None:
    """Refuse to write more than a disk has room for.

    Args:
        size: bytes.
        folder: on the disk, which exists; none: that of temporary files.
        remedy: what to do, for the message.

    Raises:
        StoreError: with both sizes.
    """
    place = folder or tempfile.gettempdir()
    with contextlib.suppress(OSError):  # a disk that tells nothing is tried
        free = shutil.disk_usage(place).free
        if size > free:
            raise StoreError(
                f"{place}: expected {size / 1e9:.1f} GB of free disk for images; received: "
                f"{free / 1e9:.1f} GB; {remedy}"
            )


def blocks_of(images: int, image_shape: ImageShape, *, most: int | None = None) -> list[slice]:
    """Return which images to hold in memory together, in order: half a GB of them at most.

    Args:
        images: how many.
        image_shape: `(height, width, channels)`.
        most: images of a block, at most.

    Example:
        >>> blocks_of(1000, (224, 224, 3))
        [slice(0, 891, None), slice(891, 1000, None)]
    """
    size = max(1, _BLOCK // bytes_of(image_shape))
    size = min(size, most or size)
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def gathered(images: Images, rows: np.ndarray) -> Images:
    """Return `images[rows]`; of a memory-mapped array only these rows take memory afterwards.

    Each access maps the pages around as well: a tenth of the images, drawn at random, would bring
    in nearly the whole file.

    Args:
        images: float32 `(n, height, width, channels)`.
        rows: int64 `(m,)`.
    """
    taken = np.empty((len(rows), *images.shape[1:]), images.dtype)
    step = max(1, _READ // bytes_of(images.shape[1:]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        taken[part] = images[rows[part]]
        release(images)
    return taken


def content_of(images: Images, labels: Labels) -> str:
    """Return the SHA-256 of images, which may be mapped from a file, and of their labels."""
    content = hashlib.sha256(repr((images.shape, labels.shape)).encode())
    for rows in blocks_of(len(images), images.shape[1:]):
        content.update(np.ascontiguousarray(images[rows]).reshape(-1).view(np.uint8).data)
        release(images)
    content.update(np.ascontiguousarray(labels).data)
    return content.hexdigest()


def release(images: Images) -> None:
    """Let go of the memory that holds pages of a memory-mapped array; others are left as they are.

    The system would do so itself when memory becomes scarce. Until then these pages count as this
    process's own wherever its memory is measured.
    """
    mapped: Any = images
    while isinstance(mapped, np.ndarray):
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
