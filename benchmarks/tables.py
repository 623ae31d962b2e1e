"""Results on disk: rows merged with earlier ones, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfrobust
from tfrobust.environment import environment

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def read(name: str) -> list[Row]:
    """Return the rows of `results/NAME.json`; none if it is not there."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text())["rows"] if file.exists() else []


def replaced(old: Sequence[Row], fresh: Sequence[Row]) -> list[Row]:
    """Return the old rows, with those of the same `what` replaced by fresh ones."""

    def key(row: Row) -> tuple[str | None, str]:
        return row.get("part"), row["what"]

    return list({key(row): row for row in [*old, *fresh]}.values())


def write(name: str, rows: Sequence[Row], text: str) -> None:
    """Write `results/NAME.json` and `results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.system(), **environment()}
    results = {"tfrobust": tfrobust.__version__, "machine": machine, "rows": list(rows)}
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{name}.md").write_text(text)


def verdict(row: Row) -> str:
    """Return how a table says whether the bar holds; `None` is for rows without one."""
    return {True: "yes", False: "**no**", None: "–"}[row["holds"]]
