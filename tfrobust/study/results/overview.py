"""One page over all studies, claim by claim, from their finished cells."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfrobust.errors import UsageError
from tfrobust.files.atomic import atomic_write
from tfrobust.study.cells.cell import cells_of
from tfrobust.study.results.claims import Claimed, check_claims, verdict
from tfrobust.study.results.freshness import earlier_cells
from tfrobust.study.results.judging import Verdict
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.opening import opening
from tfrobust.study.results.pages import (
    IN_PAPER,
    SIGNS,
    Tallied,
    page_templates,
    tally,
    written,
)
from tfrobust.study.schema.files import find_study, results_folder, studies
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True)
class Overviewed:
    """A study at one scale, as the overview shows it.

    Attributes:
        study: the study.
        scale: the scale whose cells it shows.
        finished: how many of them are finished.
        cells: how many there are.
        earlier: how many cells lie there that are of an earlier declaration, and not used.
        opening: the lines that its report opens with.
        claims: its claims, checked.
        folder: where its report lies, or would lie.
    """

    study: Study
    scale: str
    finished: int
    cells: int
    earlier: int
    opening: list[tuple[str, str]]
    claims: list[Claimed]
    folder: Path

    @property
    def counts(self) -> str:
        """How many claims have each verdict, in words."""
        if not self.finished:
            return f"no cell as it is declared now; {self.unused}"
        return ", ".join(f"{one.count} {one.words}" for one in self.tally)

    @property
    def unused(self) -> str:
        """How many cells are of an earlier declaration, in words; empty if none is."""
        if not self.earlier:
            return ""
        return (
            f"{self.earlier} {'cell' if self.earlier == 1 else 'cells'} of an earlier declaration"
        )

    @property
    def tally(self) -> list[Tallied]:
        """How many claims have each verdict."""
        return tally(claim.verdict for claim in self.claims)


def overviewed(
    results: Path | None = None, broken: Callable[[UsageError], None] = lambda _: None
) -> list[Overviewed]:
    """Return every study that can be read, at each scale that has cells.

    Where all of them are of an earlier declaration nothing is judged. A scale that shows only that
    everything runs, `smoke`, is left out.

    Args:
        results: the folder of results; none: that of each study.
        broken: called with why a study cannot be read; the others follow.

    Raises:
        StoreError: a finished cell is damaged.
    """
    shown = []
    for name in studies():
        try:
            study, path = find_study(name)
        except UsageError as error:
            broken(error)
            continue
        folder = results or results_folder(path)
        for scale in study.scales:
            lookup = Lookup(cells_of(study, scale), folder)
            earlier = earlier_cells(study, scale, folder, lookup)
            if (len(lookup) or earlier) and scale != "smoke":
                place = folder / study.name / scale
                shown.append(_overviewed(study, scale, lookup, place, earlier))
    return shown


def _overviewed(
    study: Study, scale: str, lookup: Lookup, folder: Path, earlier: int = 0
) -> Overviewed:
    return Overviewed(
        study=study,
        scale=scale,
        finished=len(lookup),
        cells=len(lookup.cells),
        earlier=earlier,
        opening=opening(study, scale, lookup) if len(lookup) else [],
        claims=check_claims(study, lookup) if len(lookup) else [],
        folder=folder,
    )


def write_overview(shown: list[Overviewed], out: Path) -> Path:
    """Write `studies.md` and `studies.html`, which link to each study's report.

    Args:
        shown: the studies.
        out: the folder that they are written into.

    Returns:
        The page, `studies.html`.

    Raises:
        StoreError: the disk refuses.
    """
    for kind in ("md", "html"):
        content: dict[str, Any] = {
            "shown": shown,
            "links": [_link(one, out, kind) for one in shown],
            "verdict": verdict,
            "in_paper": IN_PAPER,
            "signs": SIGNS,
            "tally": tally(claim.verdict for one in shown for claim in one.claims),
            "verdicts": list(Verdict),
        }
        template = page_templates(escaped=kind == "html").get_template(f"overview.{kind}.j2")
        text = template.render(content)
        atomic_write(out / f"studies.{kind}", functools.partial(written, text))
    return out / "studies.html"


def _link(one: Overviewed, out: Path, kind: str) -> str | None:
    """Return the report's place relative to the page; `None` if there is none."""
    report = one.folder / f"report.{kind}"
    if not report.is_file():
        return None
    return Path(os.path.relpath(report.resolve(), out.resolve())).as_posix()
