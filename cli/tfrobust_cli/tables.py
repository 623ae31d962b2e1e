"""Results as a rich table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.results import Results


def print_results(results: Results, *, as_json: bool = False, out: Path | None = None) -> None:
    """Print one table: a row an attack, a column a classifier; or the JSON."""
    if as_json:
        print(results.to_json(), end="")
        return
    from rich.table import Table
    from rich.text import Text

    from tfrobust.report.tables import accuracy_table

    content = accuracy_table(results)
    table = Table(title=content.title, caption=content.caption)
    for number, column in enumerate(content.columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right")
    for section in content.sections:
        for row in section:
            table.add_row(*map(Text, row), style="bold" if section is content.sections[-1] else "")
        table.add_section()
    console = stdout()
    console.print(table)
    if out is not None:
        console.print(f"{out / 'report.html'}", markup=False, highlight=False)
