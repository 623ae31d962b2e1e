"""What cells know of the figures that claims compare: values, limits, and whose training it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfrobust.results.metrics import wilson
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.outcomes import unpacked
from tfrobust.study.cells.result_file import Result
from tfrobust.study.results.estimates import Estimate, Part
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.figure_names import FigureName
from tfrobust.study.schema.figures import at_value
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.sweeps import MEAN


def estimated(lookup: Lookup, network: str, measured: Measured, seed: int) -> Estimate | None:
    """Return a figure of one seed with the limits that its images allow; `None` if it is unknown.

    Args:
        lookup: the results of one scale.
        network: whose figure.
        measured: a figure, or the difference or ratio of two.
        seed: of the cells.
    """
    finished = lookup.finished(network, measured.condition, seed)
    own = None if finished is None else _figure(*finished, measured.figure)
    if own is None or measured.other is None:
        return own
    other = estimated(lookup, network, measured.other, seed)
    if other is None:
        return None
    return own.plus(other.times(-1.0)) if measured.less is not None else own.over(other)


def single_figures(study: Study, measured: Measured) -> Iterator[Measured]:
    """Yield the figures that a measured one is made of; a gain is made of two accuracies."""
    for part in measured.parts:
        name = FigureName.parse(part.figure)
        if name.name == "gain" and not name.detector:
            first = study.conditions[part.condition].judged[0]
            for view in (name.view, first):
                yield Measured(condition=part.condition, figure=f"{view}.clean")
        else:
            yield Measured(condition=part.condition, figure=part.figure)


def trainings_of(lookup: Lookup, network: str, measured: Measured) -> list[Cell]:
    """Return the cell of every training that a figure shows: the network's, or another's instead.

    What is learned for a network and put before it, such as a calibrater, counts with the network.
    """
    cells: dict[str, Cell] = {}
    for part in single_figures(lookup.cells[0].study, measured) if lookup.cells else ():
        for seed in lookup.seeds:
            finished = lookup.finished(network, part.condition, seed)
            if finished is not None:
                cell = finished[0]
                shown = cell.replacement(FigureName.parse(part.figure).view) or cell
                cells.setdefault(shown.network_name, shown)
                break
    return list(cells.values())


def independent(one: Cell, other: Cell) -> bool:
    """Tell whether neither of two networks was trained from, or for, the other."""
    lines = [{cell.network_name for cell in shown.training_order} for shown in (one, other)]
    return one.network_name not in lines[1] and other.network_name not in lines[0]


def _figure(cell: Cell, result: Result, figure: str) -> Estimate | None:
    """Return one figure of a cell."""
    if figure not in result.figures:
        return None
    name, figures = FigureName.parse(figure), result.figures
    clean = name.sibling("clean")
    if name.name == "gain" and not name.detector:
        first = f"{cell.condition.judged[0]}.clean"
        if clean in figures and first in figures:
            return _share(cell, result, clean).plus(_share(cell, result, first).times(-1.0))
    if name.name == "error" and clean in figures:
        return Estimate(constant=1.0).plus(_share(cell, result, clean).times(-1.0))
    if name.share:
        return _share(cell, result, figure)
    value = figures[figure]
    return Estimate((Part(_name(cell, figure), 1.0, value, value, value),))


def _share(cell: Cell, result: Result, figure: str) -> Estimate:
    value, count = result.figures[figure], _count(cell, result, figure)
    low, high = wilson(min(max(value, 0.0), 1.0) * count, count) if count else (0.0, 1.0)
    part = Part(
        name=_name(cell, figure),
        weight=1.0,
        value=value,
        low=min(low, value),
        high=max(high, value),
        images=_images(cell),
        outcomes=_outcomes(cell, result, figure),
    )
    return Estimate((part,))


def _count(cell: Cell, result: Result, figure: str) -> float:
    """Return how many images a share is of."""
    name, images = FigureName.parse(figure), result.images or cell.images
    if name.detector and name.name.startswith("fooling_"):
        return result.figures.get(name.sibling("fooling_images"), 0.0)
    if name.name == "success_rate":  # of those that were right before
        return images * result.figures.get(f"{name.view}.clean", 1.0)
    return images


def _outcomes(cell: Cell, result: Result, figure: str) -> np.ndarray | None:
    """Return what became of every image, `(images,)`; in the mean of a sweep, on average."""
    name, sweep = FigureName.parse(figure), cell.condition.sweep
    if name.value != MEAN or sweep is None:
        return unpacked(result, figure)
    values = [f"{value:g}" for value in sweep.averaged or sweep.values]
    bare = figure.partition("@")[0]
    rows = [unpacked(result, at_value(bare, value)) for value in values]
    known = [row for row in rows if row is not None]
    return np.mean(known, axis=0) if len(known) == len(rows) else None


def _name(cell: Cell, figure: str) -> tuple[str, ...]:
    return cell.network_name, cell.condition_name, figure


def _images(cell: Cell) -> str:
    """Return what tells the test images: scenes of the same images are the same images."""
    options = cell.scenario_options(cell.condition.scenario_options)
    base = cell.tested_on.partition("+")[0]
    return f"{base} {options.get(base, {})} {cell.seed}"
