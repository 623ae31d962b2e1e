"""The finished cells of a study, and the paper's own figures: what tables and claims look up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.result_file import Result, read_cell
from tfrobust.study.schema.checks import MEAN
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.study import Study


class Finished:
    """The results there are, looked up by network and figure; a mean where there are several seeds.

    Args:
        cells: of the study at one scale.
        results: the folder of results.
    """

    def __init__(self, cells: list[Cell], results: Path) -> None:
        self.cells = cells
        self._found = {
            _place(cell): found for cell in cells if (found := read_cell(cell, results)) is not None
        }

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._found.values())

    def has(self, cell: Cell) -> bool:
        """Tell whether a cell is finished."""
        return _place(cell) in self._found

    def expects(self, network: str, condition: str) -> bool:
        """Tell whether this scale has such a cell, finished or not."""
        return any(
            (cell.network_name, cell.condition_name) == (network, condition) for cell in self.cells
        )

    def of(self, network: str, condition: str) -> list[Result]:
        """Return the results of a network under a condition, one a seed."""
        wanted = (network, condition)
        return [
            found
            for (network_name, condition_name, _), found in self._found.items()
            if (network_name, condition_name) == wanted
        ]

    def values(self, network: str, measured: Measured) -> list[float]:
        """Return a figure for every seed that it is known for."""
        return list(self._by_seed(network, measured).values())

    def _by_seed(self, network: str, measured: Measured) -> dict[int, float]:
        found = {
            result.seed: result.figures[measured.figure]
            for result in self.of(network, measured.condition)
            if measured.figure in result.figures
        }
        if measured.other is None:
            return found
        others = self._by_seed(network, measured.other)
        combined = {seed: measured.combined(found[seed], others.get(seed)) for seed in found}
        return {seed: value for seed, value in combined.items() if value is not None}

    def value(self, network: str, measured: Measured) -> float | None:
        """Return the mean over seeds, or `None`."""
        values = self.values(network, measured)
        return sum(values) / len(values) if values else None


def in_paper(study: Study) -> Mapping[tuple[str, str, str], float]:
    """Return the paper's figures: (network, condition, figure) → value; sweeps have their mean."""
    found = {
        (network, column.condition, column.figure): value
        for table in study.tables
        for network, values in table.paper.items()
        for column, value in zip(table.columns, values, strict=True)
        if value is not None and column.other is None
    }
    swept: dict[tuple[str, str, str], dict[str, float]] = {}
    for (network, condition, figure), value in found.items():
        name, at, where = figure.partition("@")
        if at and where != MEAN:
            swept.setdefault((network, condition, name), {})[where] = value
    for (network, condition, name), by_value in swept.items():
        sweep = study.conditions[condition].sweep
        if sweep is not None and (mean := sweep.mean(by_value)) is not None:
            found.setdefault((network, condition, f"{name}@{MEAN}"), mean)
    return found


def _place(cell: Cell) -> tuple[str, str, int]:
    return cell.network_name, cell.condition_name, cell.seed
