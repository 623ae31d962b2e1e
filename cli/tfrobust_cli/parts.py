"""`tfrobust export` of less than a served classifier: a defence alone, or a LiteRT file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrobust.errors import RobustError
from tfrobust_cli.console import stderr, stdout

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario
    from tfrobust.serving.litert_export import Sized
    from tfrobust.serving.servable import Servable


def write_part(part: Servable, folder: Path, *, as_json: bool) -> None:
    """Write a part as a SavedModel, and print where."""
    from tfrobust.serving.servable import export_servable

    made = export_servable(part, folder)
    print(json.dumps({"path": str(made)}) if as_json else made)


def write_lite(
    part: Servable,
    folder: Path,
    scenario: Scenario | None,
    *,
    classifier: str,
    quantize: Any,
    samples: int,
    as_json: bool,
) -> None:
    """Write a part as a LiteRT file, and print where, and what it is like.

    Where no scenario was given, it is that of the classifier's training; if its images cannot be
    had, sizes must do.
    """
    from tfrobust.serving.litert_export import FILE, export_lite

    learned, tested = None, None
    try:
        known = scenario or _trained_on(classifier)
        if known is not None:
            learned, tested = _images(part, known, samples if quantize else None)
    except RobustError as error:
        if scenario:
            raise
        stderr().print(f"accuracy is not measured: {error}", markup=False, highlight=False)
    measured = export_lite(part, folder, quantize=quantize, samples=learned, tested=tested)
    made = folder / FILE
    if as_json:
        print(json.dumps({"path": str(made), "measured": [vars(each) for each in measured]}))
        return
    _print(measured)
    print(made)


def _trained_on(classifier: str) -> Scenario | None:
    from tfrobust.pipeline.reload import trained_on

    return trained_on(classifier)


def _images(part: Servable, scenario: Scenario, samples: int | None) -> tuple[Any, Any]:
    """Return training images for a quantization, if any are wanted, and the test split."""
    from tfrobust.data.reading import arrays, check_fits

    check_fits(part.classifier, scenario, "the classifier")
    learned = arrays(scenario, "train", samples)[0] if samples else None
    return learned, arrays(scenario, "test")


def _print(measured: list[Sized]) -> None:
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
