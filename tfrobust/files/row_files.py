"""NumPy's `.npy` files that are written a few rows at a time, in any order."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfrobust.files.atomic import disk_errors

_AT_ONCE = 2**24  # bytes that are moved


@dataclasses.dataclass(frozen=True)
class RowFile:
    """An array of known shape on disk, of which only the rows in hand are in memory.

    No file stays open, and nothing is mapped: mapped pages would count as memory.

    Attributes:
        path: of the `.npy`.
        dtype: of the numbers.
        shape: of one row.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]

    @classmethod
    def create(cls, path: Path, count: int, dtype: np.dtype, shape: Sequence[int] = ()) -> RowFile:
        """Create a file of `count` rows that are still to be written; it replaces another one.

        Raises:
            StoreError: the disk refuses.
        """
        rows = cls(path, np.dtype(dtype), tuple(shape))
        header = rows._header(count)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(header)
                file.truncate(len(header) + count * rows._row_bytes)
        return rows

    def write(self, start: int, rows: np.ndarray) -> None:
        """Write rows from `start` on.

        Raises:
            StoreError: the disk refuses.
        """
        content = np.ascontiguousarray(rows, self.dtype)
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.seek(self._place(start))
            file.write(content.data)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows [start, stop)."""
        count = (stop - start) * math.prod(self.shape)
        flat = np.fromfile(self.path, self.dtype, count, offset=self._place(start))
        return flat.reshape(stop - start, *self.shape)

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Leave out all rows but these ranges, which are in ascending order.

        Raises:
            StoreError: the disk refuses.
        """
        step, count = max(1, _AT_ONCE // max(1, self._row_bytes)), 0
        for start, stop in ranges:
            if start == count:  # they lie where they should, and may be hundreds of GB
                count = stop
                continue
            for first in range(start, stop, step):
                rows = self.read(first, min(first + step, stop))
                self.write(count, rows)
                count += len(rows)
        header = self._header(count)
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.write(header)
            file.truncate(len(header) + count * self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    def _place(self, row: int) -> int:
        return len(self._header(0)) + row * self._row_bytes

    def _header(self, count: int) -> bytes:
        """Return the header; NumPy leaves room in it, so that all counts need as much."""
        buffer = io.BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (count, *self.shape),
        }
        np.lib.format.write_array_header_1_0(buffer, described)
        return buffer.getvalue()
