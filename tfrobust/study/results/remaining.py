"""What of a study remains to be computed, and how long that takes, before it is started."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results.freshness import codes_of, earlier_cells
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.files import find_study, results_folder, studies
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a study at one scale.

    Attributes:
        scale: its name.
        cells: how many there are.
        finished: how many of them are finished.
        trainings: how many networks the unfinished cells need, trained or not.
        minutes: for all cells, on two cores, as the study file estimates it.
        left: minutes for the unfinished cells.
        spent: minutes that the finished cells took, without their trainings.
        stale: how many finished cells are from other code than the present.
        unknown: how many are from code that is not known.
        earlier: how many cells lie there that are of an earlier declaration, and not used.
    """

    scale: str
    cells: int
    finished: int
    trainings: int
    minutes: float
    left: float
    spent: float
    stale: int
    unknown: int
    earlier: int


def all_costs(
    broken: Callable[[UsageError], None] = lambda _: None,
) -> Iterator[tuple[Study, Cost]]:
    """Yield every study that can be read with what each of its scales costs.

    Args:
        broken: called with why a study cannot be read; the others follow.

    Raises:
        StoreError: a finished cell is damaged.
    """
    for name in studies():
        try:
            study, path = find_study(name)
        except UsageError as error:
            broken(error)
            continue
        for cost in costs(study, results_folder(path)):
            yield study, cost


def costs(study: Study, results: Path) -> list[Cost]:
    """Return what each scale of a study costs.

    Args:
        study: from `find_study`.
        results: the folder of results.

    Raises:
        StoreError: a finished cell is damaged.
    """
    return [_cost(study, scale, results) for scale in study.scales]


def stale_cells(study: Study, results: Path) -> dict[str, list[str]]:
    """Return scale → the names of its cells that are from other code than the present.

    Args:
        study: from `find_study`.
        results: the folder of results.
    """
    lookups = {scale: Lookup(cells_of(study, scale), results) for scale in study.scales}
    stale = {scale: list(codes_of(lookup).stale) for scale, lookup in lookups.items()}
    return {scale: names for scale, names in stale.items() if names}


def _cost(study: Study, scale: str, results: Path) -> Cost:
    cells = cells_of(study, scale)
    lookup = Lookup(cells, results)
    unfinished = [cell for cell in cells if not lookup.has(cell)]
    needed = {
        (network.network_name, network.seed)
        for cell in unfinished
        for network in cell.networks_to_train
    }
    codes = codes_of(lookup)
    minutes = study.scales[scale].minutes
    return Cost(
        scale=scale,
        cells=len(cells),
        finished=len(lookup),
        trainings=len(needed),
        minutes=minutes,
        left=minutes * (1 - len(lookup) / len(cells)),
        spent=sum(result.seconds for result in lookup) / 60,
        stale=len(codes.stale),
        unknown=len(codes.unknown),
        earlier=earlier_cells(study, scale, results, lookup),
    )
