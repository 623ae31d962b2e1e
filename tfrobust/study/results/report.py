"""A study's result as Markdown and as one self-contained page."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import atomic_write
from tfrobust.report.charts.panels import geometry
from tfrobust.report.charts.themed import themed
from tfrobust.report.charts.tiles import with_lighter_images
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.result_file import Result
from tfrobust.study.results.claims import check_claims, verdict
from tfrobust.study.results.figures import Picture, pictures
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.masking import masked_verdicts
from tfrobust.study.results.opening import opening, reductions
from tfrobust.study.results.pages import IN_PAPER, SIGNS, page_templates, tally, written
from tfrobust.study.results.tables import study_tables
from tfrobust.study.schema.study import Study

_INTERVALS = {
    1: "Brackets are 95 % intervals over test images. There is one training of each network: a "
    "bound is judged by the images alone, and single trainings are not compared with one another "
    "unless it is known how much trainings differ.",
    2: "Brackets are 95 % intervals over test images and trainings.",
}


def write_study(study: Study, scale: str, lookup: Lookup, *folders: Path) -> None:
    """Write `report.md` with its `figure-N.svg`, and `report.html`, into each of the folders.

    Args:
        study: the study.
        scale: the one it was run at.
        lookup: its results; tables show which are missing.
        *folders: where they are written.

    Raises:
        StoreError: the disk refuses.
    """
    content = _content(study, scale, lookup)
    for kind in ("md", "html"):
        template = page_templates(escaped=kind == "html").get_template(f"study.{kind}.j2")
        text = template.render(content)
        for folder in folders:
            atomic_write(folder / f"report.{kind}", functools.partial(written, text))
    for number, picture in enumerate(content["pictures"], 1):
        for folder in folders:
            atomic_write(
                folder / f"figure-{number}.svg", functools.partial(written, picture.svg + "\n")
            )


def _content(study: Study, scale: str, lookup: Lookup) -> dict[str, Any]:
    results, claims = list(lookup), check_claims(study, lookup)
    summary = study.scales[scale].summary or study.summary
    drawn = _pictures(study, lookup)
    told_reductions = summary is None or not summary.trust  # by the line that is written then
    return {
        "study": study,
        "scale_name": scale,
        "scale": study.scales[scale],
        "fewer": _fewer(lookup.cells),
        "command": _most_common_command(results) or study.command(scale),
        "cells": len(lookup.cells),
        "finished": len(results),
        "minutes": sum(result.seconds for result in results) / 60,
        "versions": results[-1].versions if results else {},
        "tables": study_tables(study, lookup),
        "opening": opening(study, scale, lookup),
        "reduced": () if told_reductions else reductions(study, scale, lookup),
        "claims": claims,
        "tally": tally(claim.verdict for claim in claims),
        "signs": SIGNS,
        "area": geometry(),
        "intervals": _INTERVALS[min(len(study.scales[scale].seeds), 2)],
        "commits": _commits(results),
        "machines": list(dict.fromkeys(r.machine for r in results if r.machine)),
        "verdicts": masked_verdicts(study, lookup),
        "pictures": drawn,
        "page_svgs": [themed(svg) for svg in with_lighter_images([one.svg for one in drawn])],
        "verdict": verdict,
        "in_paper": IN_PAPER,
    }


def _pictures(study: Study, lookup: Lookup) -> list[Picture]:
    """Return the pictures of what cells keep.

    Raises:
        StoreError: a cell keeps other things than its condition declares.
    """
    try:
        return pictures(study, lookup)
    except (KeyError, IndexError, ValueError) as error:
        raise StoreError(
            f"study {study.name}: a cell keeps other images or counts than its condition says "
            f"({one_line(error)}); delete the cells of that condition, and they are computed again"
        ) from error


def _fewer(cells: Iterable[Cell]) -> str:
    """Return which conditions have fewer images: ` (200 under Boundary and Pointwise)`."""
    titles_by_count: dict[int, dict[str, None]] = {}
    for cell in cells:
        if cell.images < cell.scale.images:
            titles_by_count.setdefault(cell.images, {})[cell.condition.title] = None
    fewer = [f"{count} under {' and '.join(titles)}" for count, titles in titles_by_count.items()]
    return f" ({'; '.join(fewer)})" if fewer else ""


def _most_common_command(results: list[Result]) -> str | None:
    """Return the command that most cells were computed by."""
    commands = Counter(result.command for result in results)
    return commands.most_common(1)[0][0] if commands else None


def _commits(results: list[Result]) -> list[str]:
    """Return the commits that cells are from, in short, and whether files had been changed."""
    named = (
        f"{result.commit[:10]}{' with changes' if result.dirty else ''}"
        for result in results
        if result.commit
    )
    return list(dict.fromkeys(named))
