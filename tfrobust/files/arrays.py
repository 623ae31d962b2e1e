"""NumPy's `.npz` files: written atomically, checked before they are used."""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from tfrobust.errors import StoreError, one_line, printable
from tfrobust.files.archives import check_archive
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import UnreadableError, open_regular


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write an `.npz`.

    Args:
        path: of the file.
        arrays: by name.
        compressed: whether to take more time and less space.

    Raises:
        StoreError: the disk refuses.
    """
    # NumPy's own `savez` leaves its archive open when the disk refuses; Python closes it later,
    # and prints a traceback of that.
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED

    def save(file: Path) -> None:
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    atomic_write(path, save)


def read_array(path: Path, name: str) -> np.ndarray | None:
    """Read one array of an `.npz`; `None` if it has none of this name.

    Raises:
        StoreError: the file is damaged, or no `.npz`.
    """
    return read_arrays(path, only=(name,)).get(name)


def read_arrays(path: Path, *, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read an `.npz`; pickled objects are never loaded.

    Args:
        path: of the file.
        only: names of arrays to read, of those there are; `None`: all.

    Raises:
        StoreError: it is missing, damaged, no `.npz`, a zip bomb, or holds pickled objects.
    """
    with opened_archive(path) as (_, archive, members):
        wanted = [name for name in members if only is None or name in only]
        return {name: array_of(archive, members[name]) for name in wanted}


@contextlib.contextmanager
def opened_archive(
    path: Path,
) -> Iterator[tuple[IO[bytes], zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield the file of an `.npz`, the archive in it, and its arrays by their names.

    Raises:
        StoreError: it is missing, damaged, no `.npz`, or a zip bomb, or no array can be read.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive, os.fstat(file.fileno()).st_size)
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            if not members and archive.infolist():
                raise UnreadableError("it holds no arrays")
            yield file, archive, {entry.filename.removesuffix(".npy"): entry for entry in members}
    except Exception as error:  # zipfile, zlib and NumPy raise half a dozen kinds
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> StoreError:
    """Return the error for a file of arrays that cannot be read."""
    cause = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
    kind = path.suffix if path.suffix in {".npy", ".npz"} else ".npz"
    return StoreError(f"{path}: not a readable {kind} ({cause}); delete it, or name another file")


def header_of(file: IO[bytes], name: str, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array in NumPy's format, which must declare the size that it has.

    Args:
        file: at its beginning; left at the first element.
        name: for messages.
        size: of the whole, in bytes.

    Returns:
        The shape, whether the elements lie by column, and their type.

    Raises:
        UnreadableError: another size, an unknown version, or pickled objects.
        ValueError: no header of NumPy's.
    """
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise UnreadableError(f"{name}: of an unknown version of NumPy's format")
    shape, by_column, dtype = read(file)
    if dtype.hasobject:
        raise UnreadableError("it holds pickled objects, which could run code and are never loaded")
    if math.prod(shape) * dtype.itemsize != size - file.tell() or min(shape, default=0) < 0:
        raise UnreadableError(f"{name}: its header says another size than it has")
    return shape, by_column, dtype


def array_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read an array of an opened archive; see `header_of`."""
    name = printable(member.filename, 60)
    with archive.open(member) as file:
        shape, by_column, dtype = header_of(file, name, member.file_size)
        array = np.empty(math.prod(shape), dtype)
        content, place = array.view(np.uint8) if dtype.itemsize else np.empty(0, np.uint8), 0
        while place < len(content):
            part = file.read(min(len(content) - place, 2**24))
            if not part:
                raise UnreadableError(f"{name}: is cut off")
            content[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
    return array.reshape(shape, order="F" if by_column else "C")
