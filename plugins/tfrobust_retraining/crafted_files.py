"""The adversarial images of a retraining, on disk: a `.npy` for each part of the training split.

Next to the images of a part lies an `.npz` with which training image each was made of and how many
were left out. It is written last, so a part without it is crafted again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.data.spooled import bytes_of
from tfrobust.errors import StoreError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.leftovers import scratch_folder
from tfrobust.pipeline.workspace import kept_work
from tfrobust.training.trainer import Trainer
from tfrobust.types import Flags, Images, ImageShape

_COUNTS = ("broken", "unchanged")


@contextlib.contextmanager
def kept_folder(trainer: Trainer) -> Iterator[Path]:
    """Yield where to keep what is collected: in the workspace, until the training is stored.

    Without a workspace it is a temporary folder, which is removed at the end.

    Raises:
        StoreError: the folder cannot be made.
    """
    with contextlib.ExitStack() as held:
        if trainer.workspace is None:
            with disk_errors(f"temporary files in {gettempdir()}"):
                folder = held.enter_context(scratch_folder())
        else:
            folder = kept_work(trainer.workspace)
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        yield folder


@dataclasses.dataclass(frozen=True)
class CraftedPart:
    """What an attack made of some training images.

    Attributes:
        file: the images, float32 `(n, height, width, channels)` in NumPy's format.
        rows: int64 `(n,)`: the training image that each was made of.
        broken: how many were left out because they are no images.
        unchanged: how many were left out because the attack changed nothing.
    """

    file: Path
    rows: np.ndarray
    broken: int
    unchanged: int

    def images(self) -> Images:
        """Return the images, memory-mapped.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            return np.lib.format.open_memmap(self.file, mode="r")
        except (OSError, ValueError) as error:
            raise damaged(self.file) from error


@dataclasses.dataclass(frozen=True)
class CraftedFiles:
    """All parts, in the order in which they were crafted.

    Attributes:
        parts: one or more.
        image_shape: `(height, width, channels)`.
    """

    parts: Sequence[CraftedPart]
    image_shape: ImageShape

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> np.ndarray:
        """The training image that each was made of, int64 `(n,)`."""
        return np.concatenate([part.rows for part in self.parts])

    def blocks(self) -> Iterator[Images]:
        """Yield the images of each part, memory-mapped; parts without images are left out."""
        for part in self.parts:
            if len(part.rows):
                yield part.images()

    def chosen(self, flags: Flags) -> Iterator[Images]:
        """Yield the flagged images of each part.

        Args:
            flags: bool `(n,)`.
        """
        place = 0
        for images in self.blocks():
            yield images[flags[place : place + len(images)]]
            place += len(images)

    def dataset(self, kept: Flags | None = None) -> tf.data.Dataset:
        """Return the images one by one, float32 `(height, width, channels)`, read in C++.

        Args:
            kept: bool `(n,)`: which of them; none: all.
        """
        files = [str(part.file) for part in self.parts if len(part.rows)]
        records: Any = tf.data.FixedLengthRecordDataset(
            files,
            bytes_of(self.image_shape),
            header_bytes=self.parts[0].images().offset,  # NumPy pads it: one length for all
        )
        if kept is not None:
            flagged = tf.data.Dataset.zip((records, tf.data.Dataset.from_tensor_slices(kept)))
            records = flagged.filter(lambda _, flag: flag).map(lambda record, _: record)
        return records.map(self._decoded, num_parallel_calls=tf.data.AUTOTUNE)

    def _decoded(self, record: Any) -> Any:
        return tf.reshape(tf.io.decode_raw(record, tf.float32), self.image_shape)


def write_part(part: CraftedPart, images: Images) -> None:
    """Write a part, its images first.

    Raises:
        StoreError: the disk refuses.
    """

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(images), allow_pickle=False)

    atomic_write(part.file, save)
    counts = {name: np.asarray(dataclasses.asdict(part)[name]) for name in _COUNTS}
    write_arrays(_note(part.file), {"rows": part.rows, **counts})


def read_part(file: Path, rows: np.ndarray, image_shape: ImageShape) -> CraftedPart | None:
    """Return a part that an interrupted retraining has finished; `None` if it has not.

    Args:
        file: of the images.
        rows: int64 `(n,)`: the training images that were attacked for it.
        image_shape: `(height, width, channels)`.

    Raises:
        StoreError: the files are damaged.
    """
    if not _note(file).exists():
        return None
    noted = read_arrays(_note(file))
    try:
        origins = noted["rows"]
        part = CraftedPart(file, origins, *(int(noted[name]) for name in _COUNTS))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file) from error
    images, left_out = part.images(), part.broken + part.unchanged
    whole = origins.dtype == np.int64 and origins.ndim == 1 and np.isin(origins, rows).all()
    expected = (len(origins), *image_shape)
    sound = images.dtype == np.float32 and images.shape == expected and images.flags.c_contiguous
    if not (whole and sound and len(origins) + left_out == len(rows)):
        raise damaged(file)
    return part


def damaged(file: Path) -> StoreError:
    """Return the error for a part that cannot be read."""
    return StoreError(f"{file}: is damaged; delete it and {_note(file).name}, to make it again")


def _note(file: Path) -> Path:
    return file.with_suffix(".npz")
