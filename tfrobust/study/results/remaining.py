"""What a study costs, before it is started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results.lookup import Finished
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a study at one scale.

    Attributes:
        scale: its name.
        cells: how many there are.
        finished: how many are done.
        trainings: networks that unfinished cells need, trained or not.
        minutes: in all, on two cores, as the study file estimates it.
        left: of these, for the unfinished cells.
        spent: minutes that the finished cells took, without their trainings.
    """

    scale: str
    cells: int
    finished: int
    trainings: int
    minutes: float
    left: float
    spent: float


def costs(study: Study, results: Path) -> list[Cost]:
    """Return what each scale of a study costs.

    Raises:
        StoreError: a finished cell is damaged.
    """
    return [_cost(study, scale, results) for scale in study.scales]


def _cost(study: Study, scale: str, results: Path) -> Cost:
    cells = cells_of(study, scale)
    finished = Finished(cells, results)
    unfinished = [cell for cell in cells if not finished.has(cell)]
    needed = {(each.network_name, each.seed) for cell in unfinished for each in cell.schooling}
    minutes = study.scales[scale].minutes
    return Cost(
        scale=scale,
        cells=len(cells),
        finished=len(finished),
        trainings=len(needed),
        minutes=minutes,
        left=minutes * (1 - len(finished) / len(cells)),
        spent=sum(result.seconds for result in finished) / 60,
    )
