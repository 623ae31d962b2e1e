"""Which finished cells are from the present code, from other code, or from unknown code."""

from __future__ import annotations

import dataclasses

from tfrobust.study.cells.revision import current_revision
from tfrobust.study.results.lookup import Lookup


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
