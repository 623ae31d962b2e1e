"""Corruptions in the report: a table, a map of errors over severities, an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfrobust.report.figures import as_svg, tile
from tfrobust.report.tables import Row, Table, scenario_title
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import CorruptionErrors, Results

_DARK = 0.55  # from this error on, numbers in the map are white


def corruption_table(results: Results) -> Table:
    """Return the mean error under every corruption: a row a corruption, a column a classifier.

    A single classifier's errors at each severity stand before it.
    """
    records = results.corruptions
    severities = _severities(records[0]) if len(records) == 1 else []
    blank = ("",) * len(severities)

    def row(title: str, cells: Iterable[str], before: Iterable[str] = blank) -> Row:
        return (title, *before, *cells)

    rows = [
        row(
            _words(name),
            (_percent(record.mean[name]) for record in records),
            map(_percent, records[0].errors[name]) if severities else (),
        )
        for name in records[0].errors
    ]
    across = map(_percent, np.mean(list(records[0].errors.values()), axis=0)) if severities else ()
    last = [row("mCE", (_percent(record.mce) for record in records), across)]
    if baseline := records[0].baseline:
        last += [
            row(f"mCE by {baseline}", (_share(record.mce_ratio) for record in records)),
            row(f"relative mCE by {baseline}", (_share(e.relative_mce_ratio) for e in records)),
        ]
    first = results.unshifted[0]
    names = ["mean"] if severities else [record.classifier for record in records]
    return Table(
        title=f"Error under corruptions, {first.scenario.images:,} images of "
        f"{scenario_title(first)}",
        columns=("corruption", *severities, *names),
        sections=[[row("clean", (_percent(record.clean) for record in records))], rows, last],
        caption=_caption(records[0]),
    )


def _severities(errors: CorruptionErrors) -> list[str]:
    return [str(k + 1) for k in range(len(next(iter(errors.errors.values()))))]


def _caption(errors: CorruptionErrors) -> str:
    means = "means over severities 1 to 5; mCE is the mean over the corruptions"
    if errors.baseline is None:
        return f"{means}, divided by no baseline's errors"
    return (
        f"{means}; by {errors.baseline}: first divided by that classifier's errors; relative: "
        "errors beyond the clean ones; –: some corruption costs it nothing"
    )


def error_map(results: Results) -> str:
    """Return a map of errors as SVG: for each classifier, corruptions by severities."""
    records = results.corruptions
    names = list(records[0].errors)
    width = 2.2 + 2.6 * len(records)
    figure = Figure(figsize=(width, 0.3 * len(names) + 0.9), layout="constrained")
    panels = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    for axes, record in zip(panels, records, strict=True):
        errors = np.array([record.errors[name] for name in names])
        axes.pcolormesh(errors, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
        for (row, column), error in np.ndenumerate(errors):
            colour = "white" if error >= _DARK else "black"
            place = column + 0.5, row + 0.5
            axes.text(*place, f"{error:.0%}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(record.classifier.replace("$", r"\$"), fontsize=10)
        axes.set_xlabel("severity")
        axes.set_xticks(np.arange(errors.shape[1]) + 0.5, _severities(record))
        axes.set_yticks(np.arange(len(names)) + 0.5, [_words(name) for name in names])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0].invert_yaxis()
    return as_svg(figure, "corruptions")


def corruption_tiles(results: Results, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return `{"title", "image"}` of the first image, clean and under each corruption."""
    names, examples = ["clean", *results.corruptions[0].errors], outcomes.examples
    images = [*examples["example_images"][:1], *examples["example_corrupted"]]
    return [
        {"title": _words(name), "image": tile(image)}
        for name, image in zip(names, images, strict=True)
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _share(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1%}"
