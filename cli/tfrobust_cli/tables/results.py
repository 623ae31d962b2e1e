"""Results as a rich table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust.errors import ContradictionError, IncompleteError
from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.report.tables import Table as Content
    from tfrobust.results.records import Results


def print_results(results: Results, *, as_json: bool = False, out: Path | None = None) -> None:
    """Print one table: a row an attack or corruption, a column a classifier; or the JSON.

    Raises:
        ContradictionError: an attack broke what a certifier had proven; all is printed before.
        IncompleteError: some images could not be computed; the others are printed before.
    """
    from tfrobust.report.certificates import contradiction_lines

    if as_json:
        # Spelled in ASCII: a stream of another encoding would break what scripts are to read.
        print(json.dumps(results.model_dump(mode="json"), indent=1))
    else:
        _print_tables(results, out)
    if contradictions := contradiction_lines(results):
        raise ContradictionError("; ".join(contradictions))
    if results.incomplete:
        missing = sum(failure.stop - failure.start for failure in results.incomplete)
        first = results.incomplete[0]
        raise IncompleteError(
            f"{missing} images could not be computed, the first of them {first.start} to "
            f"{first.stop - 1} ({first.cause}); figures are over the others; the same command "
            "goes on with them"
        )


def _print_tables(results: Results, out: Path | None) -> None:
    from tfrobust.report.adaptive import adaptive_table
    from tfrobust.report.certificates import between_table, chance_lines
    from tfrobust.report.corruptions import corruption_table
    from tfrobust.report.reattack import reattack_table
    from tfrobust.report.tables import accuracy_table, detector_table

    console = stdout()
    table = corruption_table if results.corruptions else accuracy_table
    console.print(rich_table(table(results), bold_end=True))
    if between := between_table(results):
        console.print(rich_table(between, words=3))
        for line in chance_lines(results):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if knowing := adaptive_table(results):
        console.print(rich_table(knowing, words=5))
    if again := reattack_table(results):
        console.print(rich_table(again, words=2))
    if any(evaluation.detectors for evaluation in results.evaluations):
        console.print(rich_table(detector_table(results), words=3))
    for evaluation in results.evaluations:
        if evaluation.signs is not None:
            style = "yellow" if evaluation.signs.verdict != "fine" else None
            console.print(
                f"diagnosis of {evaluation.classifier.name}: {evaluation.signs.line}",
                markup=False, highlight=False, style=style, soft_wrap=True,
            )  # fmt: skip
        for line in evaluation.warnings:
            console.print(
                f"warning: {line}", markup=False, highlight=False, style="yellow", soft_wrap=True
            )
    if out is not None:
        console.print(f"{out / 'report.html'}", markup=False, highlight=False)


def rich_table(content: Content, *, words: int = 1, bold_end: bool = False) -> Any:
    """Return a table for the terminal; its first columns are words, the others numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(content.title), caption=Text(content.caption))
    for number, column in enumerate(content.columns):
        table.add_column(Text(column), justify="left" if number < words else "right")
    for section in content.sections:
        last = bold_end and section is content.sections[-1]
        for row in section:
            table.add_row(*map(Text, row), style="bold" if last else "")
        table.add_section()
    return table
