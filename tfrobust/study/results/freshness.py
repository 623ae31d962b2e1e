"""Which finished cells are from the present code, from other code, or of another declaration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfrobust.study.cells.revision import current_revision
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True)
class Codes:
    """The names of finished cells by the code that they are from.

    Attributes:
        current: that of the present code.
        stale: that of other code: the present one might give other figures.
        unknown: that of versions which did not record it.
    """

    current: tuple[str, ...]
    stale: tuple[str, ...]
    unknown: tuple[str, ...]


def codes_of(lookup: Lookup) -> Codes:
    """Return the finished cells by the code that they are from.

    Args:
        lookup: the results of one scale.
    """
    current, stale, unknown = list[str](), list[str](), list[str]()
    for cell in lookup.cells:
        finished = lookup.finished(cell.network_name, cell.condition_name, cell.seed)
        if finished is None:
            continue
        revision = finished[1].revision
        if revision is None:
            unknown.append(cell.name)
        else:
            (current if revision == current_revision(cell) else stale).append(cell.name)
    return Codes(tuple(current), tuple(stale), tuple(unknown))


def earlier_cells(study: Study, scale: str, results: Path, lookup: Lookup) -> int:
    """Return how many cells lie there that the study as it is declared now does not use.

    Args:
        study: the study.
        scale: one of its scales.
        results: the folder of results.
        lookup: the results of that scale.
    """
    there = len(list((results / study.name / scale).glob("*-s*.json")))
    return max(0, there - len(lookup))
