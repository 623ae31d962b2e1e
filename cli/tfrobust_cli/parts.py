"""`tfrobust export` of less than a served classifier: a defence alone, or a LiteRT file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust_cli.console import stdout

if TYPE_CHECKING:
    from tfrobust.lite_export import Measured
    from tfrobust.parts import Part
    from tfrobust.scenario import Scenario


def write_part(
    part: Part,
    folder: Path,
    scenario: Scenario | None,
    *,
    lite: bool,
    quantize: Any,
    samples: int,
    as_json: bool,
) -> None:
    """Write a part as a SavedModel or a LiteRT file, and print where, and what it is like."""
    from tfrobust.lite_export import FILE, export_lite
    from tfrobust.parts import export_part
    from tfrobust.scenario import arrays, check_fits

    if scenario:
        check_fits(part.classifier, scenario, "the classifier")
    if not lite:
        made = export_part(part, folder)
        print(json.dumps({"path": str(made)}) if as_json else made)
        return
    measured = export_lite(
        part,
        folder,
        quantize=quantize.value if quantize else None,
        samples=arrays(scenario, "train", samples)[0] if scenario and quantize else None,
        tested=arrays(scenario, "test") if scenario else None,
    )
    made = folder / FILE
    if as_json:
        print(json.dumps({"path": str(made), "measured": [vars(each) for each in measured]}))
        return
    _print(measured)
    print(made)


def _print(measured: list[Measured]) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("")
    table.add_column("MB", justify="right")
    table.add_column("accuracy", justify="right")
    for each in measured:
        size = "–" if each.megabytes is None else f"{each.megabytes:.3f}"
        accuracy = "–" if each.accuracy is None else f"{each.accuracy:.2%}"
        table.add_row("without it" if each.name == "none" else each.name, size, accuracy)
    stdout().print(table)
