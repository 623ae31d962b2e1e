"""Reading files from anywhere: how large, how deep and of which kind, before anything is used.

Every helper refuses with `UnreadableError` and a cause in one line; whoever calls it knows which
file it was and what to do, and says so.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import stat
import struct
import tempfile
import tomllib
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import pydantic

from tfrobust.errors import StoreError, one_line, printable

_MB, _GB = 10**6, 10**9
LARGEST = 256 * _MB  # a results.json or a study's cell; cards and plans take some kB
DEEPEST = 100  # levels of JSON; an honest network of nested networks takes about thirty
UNPACK_LIMIT = "TFROBUST_UNPACK_LIMIT"  # in GB
_FREELY = 0.5 * _GB  # unpacked, whatever the archive's size
_RATIO = 100  # beyond that, as many times the archive's size

Record = TypeVar("Record", bound=pydantic.BaseModel)


class UnreadableError(ValueError):
    """What a file holds cannot be used; the text is the cause."""


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file: no pipe is waited for, no device read.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError("expected a file; received: a folder, pipe or device")
    return open(descriptor, "rb")


def read_bytes(path: Path, limit: float = LARGEST) -> bytes:
    """Return the content of a regular file; see `open_regular`.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no regular file, or larger than `limit` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise UnreadableError(f"larger than {limit / _MB:,.0f} MB")
        return file.read()


def parse_json(text: bytes | str, *, deepest: int = DEEPEST) -> Any:
    """Return what a JSON text says.

    Raises:
        UnreadableError: it is no JSON, or nested deeper than `deepest` levels.
    """
    too_deep = f"nested deeper than {deepest} levels"
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise UnreadableError(too_deep) from error
    except ValueError as error:  # UnicodeDecodeError is one, and so are numbers of 5,000 digits
        raise UnreadableError(one_line(error)) from error
    level = [found]
    for _ in range(deepest):
        if not level:
            return found
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise UnreadableError(too_deep)
    return found


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def read_json(path: Path, limit: float = LARGEST) -> Any:
    """Return what a JSON file says; see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit))


def read_toml(path: Path, limit: float = LARGEST) -> dict[str, Any]:
    """Return what a TOML file says; see `read_bytes`.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: it is no TOML, not UTF-8, or nested too deeply.
    """
    content = read_bytes(path, limit)
    try:
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8: {one_line(error)}; save it as UTF-8") from error
    except ValueError as error:  # TOMLDecodeError is one, and so are numbers of 5,000 digits
        raise UnreadableError(one_line(error)) from error


def read_record(kind: type[Record], path: Path) -> Record:
    """Return a file's record, checked field by field.

    Raises:
        OSError: it is missing or forbidden.
        UnreadableError: the first field that is wrong, what was expected and received.
    """
    return checked_record(kind, read_bytes(path))


def checked_record(kind: type[Record], text: bytes | str) -> Record:
    """Return a JSON text's record, checked field by field; see `read_record`."""
    try:
        return kind.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise UnreadableError(first_mistake(error)) from error


def first_mistake(error: pydantic.ValidationError) -> str:
    """Return the first thing that is wrong: where, what was expected, and what is there."""
    first = error.errors(include_url=False)[0]
    where = printable(".".join(map(str, first["loc"])), 120)
    said = first["msg"].removeprefix("Value error, ")
    received = first["input"]
    plain = isinstance(received, str | int | float) and first["type"] != "json_invalid"
    shown = (
        f"; received: {printable(repr(received), 60)}" if plain and "received" not in said else ""
    )
    return printable(f"{where}: {said}{shown}" if where else said, 300)


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that unpacks to far more than it takes, before a byte is unpacked.

    `zipfile` reads no more of a member than it declares, so that lies do not help.

    Args:
        archive: opened.
        size: of the file in bytes.

    Raises:
        UnreadableError: how much it would take, and the variable that lifts the bound.
    """
    check_unpacked(sum(member.file_size for member in archive.infolist()), size)


def check_unpacked(declared: int, size: int) -> None:
    """Refuse `declared` bytes that a file of `size` bytes unpacks to; see `check_archive`."""
    if declared > max(_FREELY, _RATIO * size) and declared > _allowed():
        raise UnreadableError(
            f"{size:,} bytes that unpack to {declared / _GB:,.1f} GB, as a zip bomb does; where "
            f"you trust the file, allow that by {UNPACK_LIMIT}={-(-declared // _GB)} (in GB)"
        )


@contextlib.contextmanager
def open_member(archive: zipfile.ZipFile, file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Open a member of an archive so that one can go back and forth in it at no cost.

    `ZipFile.open` reads all from the beginning again to go back. Here a stored member is a window
    on the archive; a compressed one is unpacked once.

    Args:
        archive: opened from `file`.
        file: the archive itself.
        name: of the member.
    """
    with archive.open(name) as member:  # compares what the member's own header says
        entry = archive.getinfo(name)
        if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
            file.seek(entry.header_offset)
            named, extra = struct.unpack("<26xHH", file.read(30))
            start = entry.header_offset + 30 + named + extra
            with io.BufferedReader(_Window(file, start, entry.file_size)) as window:
                yield window
        else:
            with tempfile.TemporaryFile() as unpacked:
                shutil.copyfileobj(member, unpacked, 2**24)
                unpacked.seek(0)
                yield unpacked


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {0: 0, 1: self._at, 2: self._length}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        view = view[: max(0, min(len(view), self._length - self._at))]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view) if len(view) else 0  # type: ignore[attr-defined]
        self._at += count
        return count


def _allowed() -> float:
    try:
        return float(os.environ.get(UNPACK_LIMIT, "0")) * _GB
    except ValueError:
        return 0.0


def read_arrays(path: Path, *, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read an `.npz`; pickled objects are never loaded.

    Args:
        path: of the file.
        only: the arrays that are wanted, of those there are; none: all.

    Raises:
        StoreError: it is missing, damaged, no `.npz`, a zip bomb, or holds pickled objects.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive, os.fstat(file.fileno()).st_size)
            members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
            if not members and archive.infolist():
                raise UnreadableError("it holds no arrays")
            named = {member.filename.removesuffix(".npy"): member for member in members}
            wanted = [name for name in named if only is None or name in only]
            return {name: _array(archive, named[name]) for name in wanted}
    except Exception as error:  # zipfile, zlib and NumPy raise half a dozen kinds
        cause = getattr(error, "strerror", None) or one_line(error)
        raise StoreError(
            f"{path}: not a readable .npz ({cause}); delete it, or name another file"
        ) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read an array whose header says no more than the member holds."""
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
        found = np.empty(count, dtype)
        content, place = found.view(np.uint8) if dtype.itemsize else np.empty(0, np.uint8), 0
        while place < len(content):
            part = file.read(min(len(content) - place, 2**24))
            if not part:
                raise UnreadableError(f"{name}: is cut off")
            content[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
    return found.reshape(shape, order="F" if by_column else "C")
