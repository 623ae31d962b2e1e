"""A study's tables: paper, ours and the difference, cell by cell."""

from __future__ import annotations

import dataclasses
import statistics

from tfrobust.study.results.lookup import Lookup, in_paper
from tfrobust.study.results.wording import formatted
from tfrobust.study.schema.outputs import Column, Table
from tfrobust.study.schema.study import Study

Row = tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Compared:
    """One figure beside the paper's, as texts; `–` where there is none.

    Attributes:
        paper: the paper's figure.
        ours: our figure; with several seeds the mean and the standard deviation.
        difference: between them.
    """

    paper: str
    ours: str
    difference: str


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """A table of the study.

    Attributes:
        title: with the number that the table has in the paper.
        about: what to know when reading it.
        columns: their titles.
        rows: the title of each network and its figures.
        compared: whether the paper has this table.
    """

    title: str
    about: str
    columns: list[str]
    rows: list[tuple[str, list[Compared]]]
    compared: bool


def study_tables(study: Study, lookup: Lookup) -> list[StudyTable]:
    """Return all tables of a study, without the rows and columns that its scale does not have.

    Args:
        study: the study.
        lookup: its results at that scale.
    """
    tables = (_table(study, table, lookup) for table in study.tables)
    return [table for table in tables if table.rows and table.columns]


def _table(study: Study, table: Table, lookup: Lookup) -> StudyTable:
    papers = _papers(study, table)
    named = table.rows or tuple(papers) or tuple(study.networks)
    rows = [n for n in named if any(lookup.expects(n, c.condition) for c in table.columns)]
    expected = [any(lookup.expects(n, c.condition) for n in rows) for c in table.columns]
    nothing: Row = (None,) * len(table.columns)

    def compared(network: str) -> list[Compared]:
        figures = zip(table.columns, papers.get(network, nothing), expected, strict=True)
        return [
            _compared(column, paper, lookup.values(network, column))
            for column, paper, is_expected in figures
            if is_expected
        ]

    return StudyTable(
        title=table.title,
        about=table.about,
        columns=[c.title for c, shown in zip(table.columns, expected, strict=True) if shown],
        rows=[(study.networks[network].title, compared(network)) for network in rows],
        compared=bool(papers),
    )


def _papers(study: Study, table: Table) -> dict[str, Row]:
    """Return network → the paper's figures of a table, for networks that have any."""
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
    theirs = "–" if paper is None else formatted(paper, column.unit)
    if not values:
        return Compared(theirs, "–", "–")
    mean = statistics.fmean(values)
    spread = f" ± {formatted(statistics.stdev(values), column.unit)}" if len(values) > 1 else ""
    return Compared(theirs, formatted(mean, column.unit) + spread, _difference(column, paper, mean))


def _difference(column: Column, paper: float | None, ours: float) -> str:
    """Return the difference of shares in points, and the factor between numbers."""
    if paper is None:
        return "–"
    if column.unit == "percent":
        return f"{100 * (ours - paper):+.1f}"
    return f"× {ours / paper:.3g}" if paper else "–"
