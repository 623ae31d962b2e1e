"""Arrays in files whose rows are read a few at a time: `.npy`, and what is stored in an `.npz`."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tfrobust.errors import StoreError, printable
from tfrobust.files.archives import member_start
from tfrobust.files.arrays import array_of, header_of, opened_archive, unreadable
from tfrobust.files.reading import UnreadableError, open_regular

_IN_MEMORY = 64 * 10**6  # bytes; a smaller array of an `.npz` is read whole, with its checksum


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    It is read, and not mapped: mapped pages count as memory of the process, and a file that is
    shortened meanwhile would kill it.

    Attributes:
        path: of the file.
        changed: when the file was, in nanoseconds.
        offset: of the first element, in bytes.
        shape: of the array; rows are its first axis.
        dtype: of its elements.
    """

    path: Path
    changed: int
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Read rows `[start, stop)`.

        Raises:
            StoreError: the file has changed since it was opened, or cannot be read.
        """
        rows = np.empty((max(0, min(stop, len(self)) - start), *self.shape[1:]), self.dtype)
        one = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        try:
            content = rows.reshape(-1).view(np.uint8)
            with open_regular(self.path) as file:
                if os.fstat(file.fileno()).st_mtime_ns != self.changed:
                    raise UnreadableError("it has changed since it was opened; start again")
                file.seek(self.offset + start * one)
                if file.readinto(content) != len(content):  # type: ignore[attr-defined]
                    raise UnreadableError("it is cut off")
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        return rows


def rows_of(array: np.ndarray | StoredArray, start: int, stop: int) -> np.ndarray:
    """Return rows `[start, stop)` of an array in memory or in a file."""
    return array.rows(start, stop) if isinstance(array, StoredArray) else array[start:stop]


def open_arrays(path: Path) -> dict[str, np.ndarray | StoredArray]:
    """Open the arrays of an `.npz`, or of a folder of `.npy` files, by their names.

    Large arrays stay in the file, if it does not compress them; others are read.

    Raises:
        StoreError: a file is missing, damaged, a zip bomb, or holds pickled objects.
    """
    if path.is_dir():
        return {file.stem: _open_npy(file) for file in sorted(path.glob("*.npy"))}
    with opened_archive(path) as (file, archive, members):
        return {name: _open_member(path, file, archive, member) for name, member in members.items()}


def _open_member(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> StoredArray | np.ndarray:
    """Return an array of an archive: as it lies in the file, if it is large and not compressed."""
    stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    if stored and member.file_size > _IN_MEMORY:
        with archive.open(member) as content:  # checks the member's own header
            name = printable(member.filename, 60)
            shape, by_column, dtype = header_of(content, name, member.file_size)
            header = content.tell()
        if shape and not by_column:
            changed = os.fstat(file.fileno()).st_mtime_ns
            return StoredArray(path, changed, member_start(file, member) + header, shape, dtype)
    return array_of(archive, member)


def _open_npy(path: Path) -> StoredArray | np.ndarray:
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            shape, by_column, dtype = header_of(file, printable(path.name, 60), status.st_size)
            stored = StoredArray(path, status.st_mtime_ns, file.tell(), shape, dtype)
        if by_column or not shape:  # its rows lie apart
            backwards = dataclasses.replace(stored, shape=(1, *shape[::-1]))
            return backwards.rows(0, 1)[0].T
    except StoreError:
        raise
    except Exception as error:  # NumPy raises half a dozen kinds
        raise unreadable(path, error) from error
    return stored
