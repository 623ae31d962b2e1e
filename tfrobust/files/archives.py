"""Zip archives from anywhere: how much they unpack to, and members with cheap seeking."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from tfrobust.files.reading import UnreadableError

_GB = 10**9
UNPACK_LIMIT = "TFROBUST_UNPACK_LIMIT"  # in GB
_FREELY = 0.5 * _GB  # unpacked, whatever the archive's size
_RATIO = 100  # beyond that, as many times the archive's size


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that unpacks to far more than it takes, before a byte is unpacked.

    `zipfile` reads no more of a member than its header declares.

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
    """Open a member of an archive in which seeking costs nothing.

    `ZipFile.open` seeks backwards by reading from the beginning. Here a stored member is a window
    on the archive, and a compressed one is unpacked once.

    Args:
        archive: opened from `file`.
        file: the archive itself.
        name: of the member.
    """
    with archive.open(name) as member:  # checks the member's own header
        entry = archive.getinfo(name)
        if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
            start = member_start(file, entry)
            with io.BufferedReader(_Window(file, start, entry.file_size)) as window:
                yield window
        else:
            with tempfile.TemporaryFile() as unpacked:
                shutil.copyfileobj(member, unpacked, 2**24)
                unpacked.seek(0)
                yield unpacked


def member_start(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Return where in an archive the content of a member starts; the file is left elsewhere."""
    file.seek(entry.header_offset)
    named, extra = struct.unpack("<26xHH", file.read(30))
    start: int = entry.header_offset + 30 + named + extra
    return start


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
