"""A study's result as Markdown and as one self-contained page."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2

from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import atomic_write
from tfrobust.study.cells.cell import Cell, command
from tfrobust.study.cells.result_file import Result
from tfrobust.study.results.claims import check_claims, verdict, verdicts
from tfrobust.study.results.figures import pictures
from tfrobust.study.results.lookup import Finished
from tfrobust.study.results.tables import study_tables
from tfrobust.study.schema.study import Study

_IN_PAPER = {
    True: "the paper's own figures bear it out, by the same checks",
    False: "the paper's own figures do not bear it out, by the same checks",
    None: "",
}


def write_study(study: Study, scale: str, finished: Finished, *folders: Path) -> None:
    """Write `report.md` with its `figure-N.svg`, and `report.html`, into each of the folders.

    Args:
        study: the study.
        scale: at which it was run.
        finished: its results; those that are missing are shown as such.
        *folders: where.

    Raises:
        StoreError: the disk refuses.
    """
    content = _content(study, scale, finished)
    for kind in ("md", "html"):
        template = _environment(escaped=kind == "html").get_template(f"study.{kind}.j2")
        text = template.render(content)
        for folder in folders:
            atomic_write(folder / f"report.{kind}", functools.partial(_write, text))
    for number, (_, svg) in enumerate(content["pictures"], 1):
        for folder in folders:
            atomic_write(folder / f"figure-{number}.svg", functools.partial(_write, svg + "\n"))


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _content(study: Study, scale: str, finished: Finished) -> dict[str, Any]:
    results = list(finished)
    return {
        "study": study,
        "scale_name": scale,
        "scale": study.scales[scale],
        "fewer": _fewer(finished.cells),
        "command": _typed(results) or command(study, scale),
        "cells": len(finished.cells),
        "finished": len(results),
        "minutes": sum(result.seconds for result in results) / 60,
        "versions": results[-1].versions if results else {},
        "tables": study_tables(study, finished),
        "claims": check_claims(study, finished),
        "verdicts": verdicts(study, finished),
        "pictures": _pictures(study, finished),
        "verdict": verdict,
        "in_paper": _IN_PAPER,
    }


def _pictures(study: Study, finished: Finished) -> list[tuple[str, str]]:
    """Return the pictures of what cells keep.

    Raises:
        StoreError: a cell keeps something else than its condition says.
    """
    try:
        return pictures(study, finished)
    except (KeyError, IndexError, ValueError) as error:
        raise StoreError(
            f"study {study.name}: a cell keeps other images or counts than its condition says "
            f"({one_line(error)}); delete the cells of that condition, and they are made again"
        ) from error


def _fewer(cells: Iterable[Cell]) -> str:
    """Return which conditions have fewer images: ` (200 under Boundary and Pointwise)`."""
    under: dict[int, dict[str, None]] = {}
    for cell in cells:
        if cell.images < cell.scale.images:
            under.setdefault(cell.images, {})[cell.condition.title] = None
    said = [f"{count} under {' and '.join(titles)}" for count, titles in under.items()]
    return f" ({'; '.join(said)})" if said else ""


def _typed(results: list[Result]) -> str | None:
    """Return the command that most cells came from."""
    counted = Counter(result.command for result in results)
    return counted.most_common(1)[0][0] if counted else None


def _environment(*, escaped: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("tfrobust.study", "."),
                jinja2.PackageLoader("tfrobust.report", "."),
            ]
        ),
        autoescape=escaped,  # noqa: S701 (Markdown is not HTML)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
