"""A certification as rich tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tfrobust.errors import ContradictionError
from tfrobust_cli.console import stdout
from tfrobust_cli.tables.results import rich_table

if TYPE_CHECKING:
    from tfrobust.results.certification import Certifications


def print_certifications(results: Certifications, out: Path, *, as_json: bool = False) -> None:
    """Print certified accuracy, and how far the certificates reach; or the JSON.

    Raises:
        ContradictionError: a certifier certified what the classifier answers wrongly.
    """
    from tfrobust.report.certification import (
        certified_table,
        contradiction_lines,
        radius_table,
        trust_lines,
    )

    if as_json:
        print(json.dumps(results.model_dump(mode="json"), indent=1))
    else:
        console = stdout()
        console.print(rich_table(certified_table(results), words=2))
        console.print(rich_table(radius_table(results), words=2))
        for line in (*trust_lines(results), out / "report.html"):
            console.print(f"{line}", markup=False, highlight=False, soft_wrap=True)
    if lines := contradiction_lines(results):
        raise ContradictionError("; ".join(lines))
