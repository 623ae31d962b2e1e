"""The fate of every image: `outcomes.parquet`, a row an image, and `examples.npz`.

Columns are `label` and, for evaluation *i*, attack *k* and detector line *d* of `results.json`:
`e{i}_clean`; `e{i}_a{k}_prediction`, `_success`, `_reached`, `_l0`, `_l1`, `_l2`, `_linf`; the same
of adaptive attack *k* as `e{i}_x{k}_…`; `e{i}_d{d}_clean`, `_adversarial`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrobust.errors import StoreError, one_line
from tfrobust.files.archives import check_unpacked
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import UnreadableError, open_regular

if TYPE_CHECKING:
    import pandas as pd

    from tfrobust.results.records import Results

OUTCOMES, EXAMPLES = "outcomes.parquet", "examples.npz"
RUN = "run"  # what tells, in each file, which run it is of
_ROWS = 16_384  # of a row group
_WIDEST = 8  # bytes of a number

ReadRows = Callable[[str, int, int], np.ndarray]  # name, start and stop → rows of a column


class Outcomes:
    """Columns of outcomes, read one at a time from a table in memory or from a file.

    Args:
        table: in memory, or the path of a Parquet file.
        examples: arrays of the example images; see the page on results.

    Raises:
        StoreError: the file is missing, or no readable Parquet file.

    Example:
        >>> evaluated.outcomes.column("label").shape
        (360,)
        >>> evaluated.outcomes.rows(0, "prediction").shape  # attacks, images
        (2, 360)
    """

    def __init__(
        self, table: pa.Table | Path, examples: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self._table = table
        self.examples = dict(examples or {})
        schema, self._count = self._described()
        self.types = {field.name: field.type for field in schema}
        self.run = (schema.metadata or {}).get(RUN.encode(), b"").decode("utf-8", "replace")

    @classmethod
    def of(
        cls,
        columns: Mapping[str, np.ndarray],
        examples: Mapping[str, np.ndarray] | None = None,
    ) -> Outcomes:
        """Return outcomes of arrays in memory, `(images,)` each."""
        return cls(pa.table({name: pa.array(column) for name, column in columns.items()}), examples)

    @classmethod
    def read(cls, folder: Path) -> Outcomes:
        """Return the outcomes of a run folder.

        Raises:
            StoreError: a file is missing or damaged, the two are of different runs, or the folder
                is of an older version.
        """
        if not (folder / OUTCOMES).exists() and (folder / "outcomes.npz").exists():
            raise StoreError(
                f"{folder}: outcomes.npz was written by an older version; evaluate again"
            )
        examples = read_arrays(folder / EXAMPLES)
        run = examples.pop(RUN, None)
        outcomes = cls(folder / OUTCOMES, examples)
        if ("" if run is None else str(run)) != outcomes.run:
            raise StoreError(
                f"{folder}: {OUTCOMES} and {EXAMPLES} are of different runs; run the same command "
                "again with --force, which writes both again"
            )
        return outcomes

    def __len__(self) -> int:
        """Return how many images there are."""
        return self._count

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.types)

    def column(self, name: str) -> np.ndarray:
        """Return one column, `(images,)`.

        Raises:
            UnreadableError: there is none, it is damaged, or values are missing in it.
        """
        if name not in self.types:
            raise UnreadableError(f"{name} is missing")
        try:
            values = self._values(name)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableError(f"{name}: {one_line(error)}") from error
        _release()
        return values

    def _values(self, name: str) -> np.ndarray:
        if isinstance(self._table, Path):
            with pq.ParquetFile(self._table) as file:
                column = file.read([name], use_threads=False).column(name)
        else:
            column = self._table.column(name)
        if column.null_count:
            raise UnreadableError(f"{name}: values are missing")
        values: np.ndarray = column.to_numpy()
        return values

    def rows(self, number: int, what: str) -> np.ndarray:
        """Return what every attack of evaluation `number` did, `(attacks, images)`.

        Args:
            number: of the evaluation, from 0.
            what: `prediction`, `success`, `reached` or a norm.
        """
        attacks = [name for name in self.names if name.startswith(f"e{number}_a")]
        columns = [self.column(name) for name in attacks if name.endswith(f"_{what}")]
        return np.stack(columns) if columns else np.zeros((0, len(self)))

    def row(self, number: int, k: int, what: str) -> np.ndarray:
        """Return what attack `k` of evaluation `number` did, `(images,)`; see `rows`."""
        return self.column(f"e{number}_a{k}_{what}")

    def to_pandas(self, results: Results) -> pd.DataFrame:
        """Return a tidy frame: a row an image, classifier, attack and budget.

        Args:
            results: of the same run, which knows what the columns are of.

        Returns:
            Columns `image` (its position), `label`, `classifier`, `attack`, `norm`, `eps`,
            `kind`, `options`, `clean`
            and `prediction` (classes before and after), `success`, and the distances `l0` to
            `linf`.

        Raises:
            UsageError: they are not of one run.

        Example:
            >>> fates = Outcomes.read(Path("runs/d1")).to_pandas(Results.load("runs/d1"))
            >>> fates.groupby("image").success.all().sum()  # images that fall to everything
        """
        from tfrobust.results.tidy import fates_of

        return fates_of(results, self)

    def write(self, folder: Path, run: str) -> None:
        """Write the two files into a folder.

        Args:
            folder: exists.
            run: what both files tell they are of.

        Raises:
            StoreError: the disk refuses.
        """

        def save(path: Path) -> None:
            if isinstance(self._table, Path):
                with pq.ParquetFile(self._table) as file:
                    _save(path, file.schema_arrow, run, file.iter_batches(_ROWS, use_threads=False))
            else:
                _save(path, self._table.schema, run, self._table.to_batches(_ROWS))

        atomic_write(folder / OUTCOMES, save)
        write_arrays(folder / EXAMPLES, {**self.examples, RUN: np.asarray(run)})

    def _described(self) -> tuple[pa.Schema, int]:
        if not isinstance(self._table, Path):
            return self._table.schema, self._table.num_rows
        try:
            with open_regular(self._table) as file, pq.ParquetFile(file) as described:
                count = described.metadata.num_rows
                check_unpacked(count * _WIDEST, os.fstat(file.fileno()).st_size)
                return described.schema_arrow, count
        except (pa.ArrowException, OSError, UnreadableError) as error:
            cause = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
            raise StoreError(
                f"{self._table}: not a readable Parquet file ({cause}); evaluate again"
            ) from error


def write_columns(path: Path, types: Mapping[str, np.dtype], count: int, read: ReadRows) -> None:
    """Write a Parquet file a group of rows at a time; see `Outcomes.write`.

    Args:
        path: of the file.
        types: name → type of each column.
        count: of rows.
        read: gives rows of a column.

    Raises:
        StoreError: the disk refuses.
    """
    schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name, dtype in types.items()])
    groups = (
        pa.record_batch(
            [
                pa.array(read(name, start, min(start + _ROWS, count)).astype(dtype, copy=False))
                for name, dtype in types.items()
            ],
            schema=schema,
        )
        for start in range(0, count, _ROWS)
    )
    atomic_write(path, lambda beside: _save(beside, schema, "", groups))


def _save(path: Path, schema: pa.Schema, run: str, groups: Iterable[pa.RecordBatch]) -> None:
    schema = schema.with_metadata({RUN: run})
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for group in groups:
                writer.write_batch(group.replace_schema_metadata({RUN: run}))
                _release()
    except OSError as error:  # Arrow has words of its own for what the disk refuses
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno)) from error


def _release() -> None:
    """Return the memory that Arrow has freed to the system; it would keep it for later tables."""
    pa.default_memory_pool().release_unused()
