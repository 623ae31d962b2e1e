"""A study's tables: paper, ours and the difference, cell by cell."""

from __future__ import annotations

import dataclasses
import statistics

from tfrobust.study.results.claims import shown
from tfrobust.study.results.lookup import Finished, in_paper
from tfrobust.study.schema.outputs import Column, Table
from tfrobust.study.schema.study import Study

Row = tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Compared:
    """One figure beside the paper's; texts, `–` where there is none."""

    paper: str
    ours: str
    difference: str


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """A table of the study.

    Attributes:
        title: with the paper's number of it.
        about: what to know when reading it.
        columns: their titles.
        rows: a network's title and its figures.
        compared: whether the paper has this table.
    """

    title: str
    about: str
    columns: list[str]
    rows: list[tuple[str, list[Compared]]]
    compared: bool


def study_tables(study: Study, finished: Finished) -> list[StudyTable]:
    """Return all tables of a study, without the rows and columns that its scale does not have."""
    tables = (_table(study, table, finished) for table in study.tables)
    return [table for table in tables if table.rows and table.columns]


def _table(study: Study, table: Table, finished: Finished) -> StudyTable:
    papers = _papers(study, table)
    named = table.rows or tuple(papers) or tuple(study.networks)
    rows = [n for n in named if any(finished.expects(n, c.condition) for c in table.columns)]
    shown_here = [any(finished.expects(n, c.condition) for n in rows) for c in table.columns]
    nothing: Row = (None,) * len(table.columns)

    def compared(network: str) -> list[Compared]:
        beside = zip(table.columns, papers.get(network, nothing), shown_here, strict=True)
        return [
            _compared(column, paper, finished.values(network, column))
            for column, paper, is_shown in beside
            if is_shown
        ]

    return StudyTable(
        title=table.title,
        about=table.about,
        columns=[
            c.title for c, is_shown in zip(table.columns, shown_here, strict=True) if is_shown
        ],
        rows=[(study.networks[network].title, compared(network)) for network in rows],
        compared=bool(papers),
    )


def _papers(study: Study, table: Table) -> dict[str, Row]:
    """Return the paper's figures of a table, a row a network that has any."""
    if not any(column.beside for column in table.columns):
        return table.paper
    known = in_paper(study)
    borrowed = {
        network: tuple(
            known.get((network, column.beside or "", column.figure)) for column in table.columns
        )
        for network in study.networks
    }
    return {row: values for row, values in borrowed.items() if any(v is not None for v in values)}


def _compared(column: Column, paper: float | None, values: list[float]) -> Compared:
    theirs = "–" if paper is None else shown(paper, column.unit)
    if not values:
        return Compared(theirs, "–", "–")
    mean = statistics.fmean(values)
    spread = f" ± {shown(statistics.stdev(values), column.unit)}" if len(values) > 1 else ""
    return Compared(theirs, shown(mean, column.unit) + spread, _difference(column, paper, mean))


def _difference(column: Column, paper: float | None, ours: float) -> str:
    """Return points of a share; a factor between numbers that span orders of magnitude."""
    if paper is None:
        return "–"
    if column.unit == "percent":
        return f"{100 * (ours - paper):+.1f}"
    return f"× {ours / paper:.3g}" if paper else "–"
