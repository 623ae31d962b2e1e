"""NumPy's `.npz` files: written atomically, checked before they are used."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from tfrobust.errors import StoreError, one_line, printable
from tfrobust.files.archives import check_archive
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import UnreadableError, open_regular


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz`.

    Raises:
        StoreError: the disk refuses.
    """

    # NumPy's own `savez` leaves its archive open when the disk refuses; Python closes it later,
    # and prints a traceback of that.
    def save(file: Path) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
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
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive, os.fstat(file.fileno()).st_size)
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            if not members and archive.infolist():
                raise UnreadableError("it holds no arrays")
            named = {member.filename.removesuffix(".npy"): member for member in members}
            wanted = [name for name in named if only is None or name in only]
            return {name: _array(archive, named[name]) for name in wanted}
    except Exception as error:  # zipfile, zlib and NumPy raise half a dozen kinds
        cause = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
        raise StoreError(
            f"{path}: not a readable .npz ({cause}); delete it, or name another file"
        ) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read an array whose header declares the size that the member has."""
    name = printable(member.filename, 60)
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise UnreadableError(f"{name}: of an unknown version of NumPy's format")
        shape, by_column, dtype = read(file)
        if dtype.hasobject:
            raise UnreadableError(
                "it holds pickled objects, which could run code and are never loaded"
            )
        count = 1
        for length in shape:
            count *= length
        if count * dtype.itemsize != member.file_size - file.tell() or min(shape, default=0) < 0:
            raise UnreadableError(f"{name}: its header says another size than it has")
        array = np.empty(count, dtype)
        content, place = array.view(np.uint8) if dtype.itemsize else np.empty(0, np.uint8), 0
        while place < len(content):
            part = file.read(min(len(content) - place, 2**24))
            if not part:
                raise UnreadableError(f"{name}: is cut off")
            content[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
    return array.reshape(shape, order="F" if by_column else "C")
