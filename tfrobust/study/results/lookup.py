"""The finished cells of a study, and the paper's own figures: what tables and claims look up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.result_file import Result, read_cell
from tfrobust.study.schema.figures import at_value
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.sweeps import MEAN


class Lookup:
    """The results there are, by network and figure; their mean where there are several seeds.

    Args:
        cells: of the study at one scale.
        results: the folder of results.

    Raises:
        StoreError: a finished cell is damaged.
    """

    def __init__(self, cells: list[Cell], results: Path) -> None:
        self.cells = cells
        read = {_identity(cell): read_cell(cell, results) for cell in cells}
        self._results = {cell: result for cell, result in read.items() if result is not None}
        self._cells = {_identity(cell): cell for cell in cells}
        self._expected = {(cell.network_name, cell.condition_name) for cell in cells}

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results.values())

    def has(self, cell: Cell) -> bool:
        """Tell whether a cell is finished."""
        return _identity(cell) in self._results

    def expects(self, network: str, condition: str) -> bool:
        """Tell whether this scale has such a cell, finished or not."""
        return (network, condition) in self._expected

    def finished(self, network: str, condition: str, seed: int) -> tuple[Cell, Result] | None:
        """Return a cell and its result, if it is finished."""
        identity = network, condition, seed
        result = self._results.get(identity)
        return None if result is None else (self._cells[identity], result)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the cells."""
        return list(dict.fromkeys(cell.seed for cell in self.cells))

    def of(self, network: str, condition: str) -> list[Result]:
        """Return the results of a network under a condition, one for each seed."""
        wanted = (network, condition)
        return [
            result
            for (network_name, condition_name, _), result in self._results.items()
            if (network_name, condition_name) == wanted
        ]

    def values(self, network: str, measured: Measured) -> list[float]:
        """Return a figure for every seed that it is known for."""
        return list(self._by_seed(network, measured).values())

    def value(self, network: str, measured: Measured) -> float | None:
        """Return the mean of a figure over seeds, or `None`."""
        values = self.values(network, measured)
        return sum(values) / len(values) if values else None

    def _by_seed(self, network: str, measured: Measured) -> dict[int, float]:
        values = {
            result.seed: result.figures[measured.figure]
            for result in self.of(network, measured.condition)
            if measured.figure in result.figures
        }
        if measured.other is None:
            return values
        others = self._by_seed(network, measured.other)
        combined = {seed: measured.combined(values[seed], others.get(seed)) for seed in values}
        return {seed: value for seed, value in combined.items() if value is not None}


def in_paper(study: Study) -> Mapping[tuple[str, str, str], float]:
    """Return the paper's figures: (network, condition, figure) → value; sweeps have their mean."""
    figures = {
        (network, column.condition, column.figure): value
        for table in study.tables
        for network, values in table.paper.items()
        for column, value in zip(table.columns, values, strict=True)
        if value is not None and column.other is None
    }
    swept: dict[tuple[str, str, str], dict[str, float]] = {}
    for (network, condition, figure), value in figures.items():
        name, at, sweep_value = figure.partition("@")
        if at and sweep_value != MEAN:
            swept.setdefault((network, condition, name), {})[sweep_value] = value
    for (network, condition, name), by_value in swept.items():
        sweep = study.conditions[condition].sweep
        if sweep is not None and (mean := sweep.mean(by_value)) is not None:
            figures.setdefault((network, condition, at_value(name, MEAN)), mean)
    return figures


def _identity(cell: Cell) -> tuple[str, str, int]:
    return cell.network_name, cell.condition_name, cell.seed
