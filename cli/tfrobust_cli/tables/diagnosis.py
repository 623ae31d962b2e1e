"""A diagnosis as a rich table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.results.diagnosis import Diagnosis

_STYLES = {"masked": "bold red", "suspect": "yellow", "fine": "green", "not applicable": "dim"}


def print_diagnosis(diagnosis: Diagnosis, out: Path, *, as_json: bool = False) -> None:
    """Print a row a check and the headline; or the JSON."""
    from rich.table import Table
    from rich.text import Text

    from tfrobust.report.diagnosis import accuracies, finding_table, headline

    if as_json:
        print(diagnosis.to_json(), end="")
        return
    console = stdout()
    content = finding_table(diagnosis.findings, f"Diagnosis of {diagnosis.classifier}")
    table = Table(title=content.title, show_lines=False)
    for column in content.columns:
        table.add_column(Text(column))
    for row in content.sections[0]:
        check, verdict, *rest = row
        table.add_row(check, Text(verdict, style=_STYLES[verdict]), *map(Text, rest))
    console.print(table)
    for what, value in accuracies(diagnosis):
        console.print(f"{what}: {value}", markup=False, highlight=False)
    style = _STYLES[str(diagnosis.verdict)]
    console.print(headline(diagnosis), markup=False, highlight=False, style=style)
    console.print(f"{out / 'diagnosis.html'}", markup=False, highlight=False)
