"""The rows of all blocks as columns: one number an image, read one column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfrobust.errors import DataError
from tfrobust.files.row_files import RowFile


class Columns:
    """Columns of `count` rows, written a block at a time in any order.

    Args:
        count: of rows.
        folder: where they lie on disk, a file each; `None`: they are held in memory.
    """

    def __init__(self, count: int, folder: Path | None = None) -> None:
        self._count, self._folder = count, folder
        self._files: dict[str, RowFile] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._done = [(0, count)]

    def write(self, name: str, start: int, stop: int, values: np.ndarray) -> None:
        """Write rows [start, stop) of a column.

        Raises:
            DataError: there is not one value for each row.
            StoreError: the disk refuses.
        """
        if values.shape != (stop - start,) or not 0 <= start <= stop <= self._count:
            raise DataError(
                f"{name}: expected one value for each of the images {start}–{stop} of "
                f"{self._count}; received: {values.shape}"
            )
        if self._folder is None:
            if name not in self._arrays:
                self._arrays[name] = np.zeros(self._count, values.dtype)
            self._arrays[name][start:stop] = values
            return
        if name not in self._files:
            path = self._folder / f"{name}.npy"
            self._files[name] = RowFile.create(path, self._count, values.dtype)
        self._files[name].write(start, values)

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Leave out all rows but these ranges: what was to be written elsewhere failed."""
        self._done = list(ranges)

    def __len__(self) -> int:
        """Return how many rows there are, without those left out."""
        return sum(stop - start for start, stop in self._done)

    def dtype(self, name: str) -> np.dtype:
        """Return the type of a column."""
        return self._arrays[name].dtype if self._folder is None else self._files[name].dtype

    def read(self, name: str) -> np.ndarray:
        """Return a column."""
        parts = [self._rows(name, start, stop) for start, stop in self._done]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows [start, stop) of a column, counted without those left out."""
        parts, before = [], 0
        for first, last in self._done:
            low, high = max(start - before, 0), min(stop - before, last - first)
            if low < high:
                parts.append(self._rows(name, first + low, first + high))
            before += last - first
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        if self._folder is None:
            return self._arrays[name][start:stop]
        return self._files[name].read(start, stop)
